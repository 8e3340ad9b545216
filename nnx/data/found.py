"""Arrays as a file gave them, before any check."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from nnx.data.dataset import Array

# Says in which file, and where in it, the value at (row, column) stands.
Place: TypeAlias = Callable[[int, int], str]


class Found(NamedTuple):
    """An array, where it came from, and how to point at what is wrong in it."""

    values: Array
    source: str
    place: Place


class Part(NamedTuple):
    """Images and labels that belong together.

    images: (n, features), any real numbers
    labels: (n,) or (n, 1) class numbers, or (n, classes) one-hot
    """

    images: Found
    labels: Found
