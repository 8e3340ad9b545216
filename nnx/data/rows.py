"""Images that memory need not hold: read, or made, where they are asked for.

Such are the arrays that are mapped from a file, and `Rows` of them. What looks at all
images takes them in blocks.
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
    """Some rows of a file, (n, width), as an array of them would be indexed.

    numbers: (n,), integers; which rows of the file, ascending
    read: gives the rows of some of these numbers, (k, width)
    """

    ndim = 2

    def __init__(
        self, numbers: Array, read: Callable[[Array], Array], width: int, dtype: Any
    ) -> None:
        """width, dtype: of what is read."""
        self.numbers, self.read = numbers, read
        self.shape, self.dtype = (len(numbers), width), np.dtype(dtype)

    @property
    def nbytes(self) -> int:
        """How many bytes they would take in memory."""
        return int(self.shape[0] * self.shape[1] * self.dtype.itemsize)

    def __len__(self) -> int:
        """Return how many rows there are."""
        return self.shape[0]

    def __getitem__(self, which: Any) -> Array:
        """Return some of the rows in memory; which: a slice, or places, (k,)."""
        return self.read(self.numbers[which])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """Return all rows in memory."""
        return np.asarray(self[:], dtype)


def in_file(images: Array) -> bool:
    """Return whether images are in a file, and not in memory."""
    return isinstance(images, Rows | np.memmap)


def loaded(images: Array, which: slice, buffers: Buffers | None = None) -> Array:
    """Return images in a row in memory.

    Of a mapped file they are read from it: to have its pages mapped one after another
    costs the kernel more, and its end, where another program has cut it off, would be
    the end of this process.

    buffers: as for `file_bytes.read`

    Raises:
        InputError: the file is shorter now, or cannot be read any more
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
    """Return whether images are mapped, as they lie in a file that has a name."""
    mapped = isinstance(images, np.memmap) and images.mode == "r"
    return bool(mapped and images.filename and images.flags.c_contiguous)


def chosen(images: Array, numbers: Array) -> Array:
    """Return the images of these ascending numbers, in a file still if they are in one.

    numbers: (k,), integers
    """
    if isinstance(images, Rows):
        return Rows(images.numbers[numbers], images.read, *_form(images))
    if isinstance(images, np.memmap):
        return Rows(numbers, images.__getitem__, *_form(images))
    return images[numbers]


def made(images: Array, make: Callable[[Array], Array], dtype: Any) -> Array:
    """Return what a function makes of images, of those in a file where they are read.

    make: (k, width) in, as many out, in this dtype
    """
    if not in_file(images):
        return make(images)
    every = np.arange(len(images))
    return Rows(every, lambda rows: make(images[rows]), images.shape[1], dtype)


def _form(images: Array) -> tuple[int, Any]:
    return images.shape[1], images.dtype


def row_blocks(values: Array) -> Iterator[tuple[int, Array]]:
    """Yield rows with the number of the first, in blocks that need little memory.

    values: (n, ...)
    """
    step = max(1, _BLOCK // max(1, values[:1].size))
    for start in range(0, len(values), step):
        yield start, loaded(values, slice(start, start + step))


def extremes(values: Array) -> tuple[float, float]:
    """Return the least and the largest of (n, features); NaN where there is one."""
    of_blocks = [(block.min(), block.max()) for _, block in row_blocks(values)]
    low, high = np.array(of_blocks, np.float64).T
    return float(low.min()), float(high.max())
