"""Labels as class numbers, checked before anything else sees them."""

import numpy as np

from nnx.data.dataset import Array
from nnx.data.found import Found
from nnx.errors import InputError

MOST_CLASSES = 1000


def class_numbers(found: Found) -> Array:
    """Return labels as class numbers.

    found: (n,) or (n, 1) whole numbers, or (n, classes) one-hot
    returns: (n,) int64, in [0, MOST_CLASSES)
    refused: labels that are not whole, negative or too high; rows not one-hot
    """
    values = found.values
    if values.ndim == 2 and values.shape[1] > 1:
        return _from_one_hot(found)
    labels = values.reshape(len(values)).astype(np.float64)
    _refuse(found, labels, ~np.isfinite(labels), "is not a number")
    _refuse(found, labels, labels != np.rint(labels), "is not a whole number")
    _refuse(found, labels, labels < 0, "is negative: classes count from 0")
    too_high = f"is too high: at most {MOST_CLASSES} classes, counted from 0"
    _refuse(found, labels, labels >= MOST_CLASSES, too_high)
    return labels.astype(np.int64)


def require_two(labels: Array, source: str) -> None:
    """Refuse training labels, (n,), that are all the same."""
    present = np.unique(labels)
    if len(present) < 2:
        raise InputError(
            f"{source}: training needs ≥2 classes, found only class {present[0]}"
        )


def _from_one_hot(found: Found) -> Array:
    values = found.values
    if values.shape[1] > MOST_CLASSES:
        raise InputError(
            f"{found.source}: one-hot labels of {values.shape[1]} classes; "
            f"at most {MOST_CLASSES} are accepted"
        )
    ones = values == 1
    bad = (ones.sum(axis=1) != 1) | ((values != 0) & ~ones).any(axis=1)
    if bad.any():
        row = int(bad.argmax())
        raise InputError(
            f"{found.place(row, 0)}: not one-hot: expected a single 1 among zeros, "
            f"found {int(ones[row].sum())} ones and a sum of {values[row].sum():g}"
        )
    return ones.argmax(axis=1).astype(np.int64)


def _refuse(found: Found, labels: Array, bad: Array, why: str) -> None:
    if bad.any():
        row = int(bad.argmax())
        raise InputError(f"{found.place(row, 0)}: label {labels[row]:g} {why}")
