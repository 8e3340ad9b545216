"""Converting labels to class numbers, and checking them."""

import numpy as np

from nnx.data.dataset import Array, RawArray
from nnx.data.tabular import NoPicturesError
from nnx.errors import InputError

MAX_CLASSES = 1000


def class_numbers(raw: RawArray) -> Array:
    """Return labels as class numbers.

    raw: (n,) or (n, 1) whole numbers, or (n, classes) one-hot
    returns: (n,) int64, in [0, MAX_CLASSES)

    Raises:
        InputError: a label is not a whole number, negative or too high, or a row is not
            one-hot
    """
    values = raw.values
    if values.ndim == 2 and values.shape[1] > 1:
        return _from_one_hot(raw)
    labels = values.reshape(len(values)).astype(np.float64)
    refuse_label(raw, labels, ~np.isfinite(labels), " is not a number")
    refuse_label(raw, labels, labels != np.rint(labels), " is not a whole number")
    refuse_label(raw, labels, labels < 0, " is negative: classes count from 0")
    too_high = f" is too high: at most {MAX_CLASSES} classes, counted from 0"
    refuse_label(raw, labels, labels >= MAX_CLASSES, too_high)
    return labels.astype(np.int64)


def require_two(labels: Array, source: str) -> None:
    """Refuse training labels, (n,), that are all the same."""
    present = np.unique(labels)
    if len(present) < 2:
        raise InputError(
            f"{source}: training needs ≥2 classes, found only class {present[0]}"
        )


def refuse_label(raw: RawArray, labels: Array, bad: Array, why: str) -> None:
    """Refuse the first bad label, naming its place.

    labels: (n,)
    bad: (n,), bool
    why: the end of the message
    """
    if bad.any():
        row = int(bad.argmax())
        raise NoPicturesError(f"{raw.place(row, 0)}: label {labels[row]:g}{why}")


def _from_one_hot(raw: RawArray) -> Array:
    values = raw.values
    if values.shape[1] > MAX_CLASSES:
        raise InputError(
            f"{raw.source}: one-hot labels of {values.shape[1]} classes; "
            f"at most {MAX_CLASSES} are accepted"
        )
    ones = values == 1
    bad = (ones.sum(axis=1) != 1) | ((values != 0) & ~ones).any(axis=1)
    if bad.any():
        row = int(bad.argmax())
        raise InputError(
            f"{raw.place(row, 0)}: not one-hot: expected a single 1 among zeros, "
            f"found {int(ones[row].sum())} ones and a sum of {values[row].sum():g}"
        )
    return ones.argmax(axis=1).astype(np.int64)
