"""Arrays as a file gave them, before any check."""

from collections.abc import Callable
from typing import NamedTuple

from nnx.data.dataset import Array


class RawArray(NamedTuple):
    """An array, where it came from, and how to point at what is wrong in it.

    place: says in which file, and where in it, the value at (row, column) stands
    """

    values: Array
    source: str
    place: Callable[[int, int], str]


class RawSplit(NamedTuple):
    """Images and labels that belong together.

    images: (n, features), any real numbers
    labels: (n,) or (n, 1) class numbers, or (n, classes) one-hot
    """

    images: RawArray
    labels: RawArray
