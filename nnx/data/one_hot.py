"""One-hot rows of targets as the numbers of their classes."""

from typing import Any, TypeAlias

import numpy as np

from nnx.data.arrays import as_array
from nnx.data.frame_table import is_frame

Pairs: TypeAlias = dict[str, tuple[Any, Any]]  # x and y of each part that is given


def in_pairs(pairs: Pairs, task: str) -> Pairs:
    """Return pairs with one-hot rows of y as class numbers.

    Where the first y keeps several columns, so does every other one: its few rows may
    have a single 1 each by chance.
    """
    made: Pairs = {}
    for part, (x, y) in pairs.items():
        y = as_classes(y, task)
        made[part] = x, y
        if task in ("auto", "classification") and np.shape(y)[1:] > (1,):
            task = "multilabel"
    return made


def as_classes(y: Any, task: str) -> Any:
    """Return y, with one-hot rows as class numbers if y may be classes.

    y: as for `nnx.dataset`; one-hot rows, (n, classes), become int64 (n,)
    """
    if is_frame(y) or isinstance(y, str) or task not in ("auto", "classification"):
        return y
    array = as_array(y, "y")
    if array.ndim != 2 or array.shape[1] < 2 or array.dtype.kind not in "buif":
        return y
    ones = array == 1
    one_hot = (ones.sum(axis=1) == 1).all() and (ones | (array == 0)).all()
    return array.argmax(axis=1) if one_hot else y
