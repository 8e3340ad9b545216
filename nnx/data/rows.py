"""Images that need not fit in memory, because they are read or computed on access.

These are arrays mapped from a file, and `Rows`. Code that needs all images takes them
in blocks.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from nnx.data import file_bytes
from nnx.data.file_bytes import Buffers

_BLOCK = 1 << 20  # numbers

Array: TypeAlias = Any


class Rows:
    """Some rows of a file, (n, width), indexed like an array.

    numbers: (n,), integers, ascending: the numbers of the rows in the file
    read: called with some of these numbers, returns their rows, (k, width)
    """

    ndim = 2

    def __init__(
        self, numbers: Array, read: Callable[[Array], Array], width: int, dtype: Any
    ) -> None:
        """width, dtype: of the rows that `read` returns."""
        self.numbers, self.read = numbers, read
        self.shape, self.dtype = (len(numbers), width), np.dtype(dtype)

    @property
    def nbytes(self) -> int:
        """Number of bytes that the rows would take in memory."""
        return int(self.shape[0] * self.shape[1] * self.dtype.itemsize)

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.shape[0]

    def __getitem__(self, which: Any) -> Array:
        """Return some of the rows in memory; which: a slice, or indices, (k,)."""
        return self.read(self.numbers[which])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """Return all rows in memory."""
        return np.asarray(self[:], dtype)


def in_file(images: Array) -> bool:
    """Return whether images are in a file, and not in memory."""
    return isinstance(images, Rows | np.memmap)


def loaded(images: Array, which: slice, buffers: Buffers | None = None) -> Array:
    """Return consecutive images in memory.

    The images of a mapped file are read from the file. Faulting in its pages one by one
    is slower, and would kill this process if another program had truncated the file.

    buffers: as for `file_bytes.read`

    Raises:
        InputError: the file has become shorter, or can no longer be read
    """
    part = images[which]
    if not in_file(images):
        return part
    if not (_is_as_in_its_file(part) and part.size):
        return np.require(part, requirements=["C", "OWNDATA", "ENSUREARRAY"])
    whole = part
    while isinstance(whole.base, np.memmap):
        whole = whole.base
    first = whole.offset + part.ctypes.data - whole.ctypes.data
    content = file_bytes.read(Path(str(whole.filename)), first, part.nbytes, buffers)
    values = content.view(part.dtype).reshape(part.shape)
    return np.require(values, requirements=["ALIGNED"])


def _is_as_in_its_file(images: Array) -> bool:
    """Return whether images are mapped from a named file and contiguous in it."""
    mapped = isinstance(images, np.memmap) and images.mode == "r"
    return bool(mapped and images.filename and images.flags.c_contiguous)


def chosen(images: Array, numbers: Array) -> Array:
    """Return the images with these numbers; images in a file are not read.

    numbers: (k,), integers, ascending
    """
    if isinstance(images, Rows):
        return Rows(images.numbers[numbers], images.read, *_form(images))
    if isinstance(images, np.memmap):
        return Rows(numbers, images.__getitem__, *_form(images))
    return images[numbers]


def made(images: Array, make: Callable[[Array], Array], dtype: Any) -> Array:
    """Apply a function to images; to those in a file when they are read.

    make: takes (k, width) images, returns as many, in this dtype
    """
    if not in_file(images):
        return make(images)
    every = np.arange(len(images))
    return Rows(every, lambda rows: make(images[rows]), images.shape[1], dtype)


def _form(images: Array) -> tuple[int, Any]:
    return images.shape[1], images.dtype


def row_blocks(values: Array) -> Iterator[tuple[int, Array]]:
    """Yield rows in blocks that need little memory, each with its first row's number.

    values: (n, ...)
    """
    step = max(1, _BLOCK // max(1, values[:1].size))
    for start in range(0, len(values), step):
        yield start, loaded(values, slice(start, start + step))


def extremes(values: Array) -> tuple[float, float]:
    """Return the smallest and largest of values, (n, features); NaN if one is NaN."""
    of_blocks = [(block.min(), block.max()) for _, block in row_blocks(values)]
    low, high = np.array(of_blocks, np.float64).T
    return float(low.min()), float(high.max())
