"""Some bytes of a file: by the system's cache, or past it, into memory used again."""

import os
import weakref
from contextlib import suppress
from pathlib import Path

import numpy as np

from nnx import memory
from nnx.errors import InputError
from nnx.files import readable

_PAGE = 4096  # bytes; what O_DIRECT reads begins at one, in the file and in memory
_CHUNK = 1 << 22  # bytes; that many at once a disk gives fastest


class Buffers:
    """Memory to read into: what nobody holds any more is given out again.

    New memory costs more than reading into it does: the system clears each page.
    """

    def __init__(self) -> None:
        self._free: list[np.ndarray] = []

    def take(self, size: int) -> np.ndarray:
        """Return bytes from a page's first, (size,), until their last view is gone."""
        whole = self._free.pop() if self._free else np.empty(0, np.uint8)
        if len(whole) < size + _PAGE:
            whole = np.empty(size + 2 * _PAGE, np.uint8)
        # No view of an array: of a view of that, NumPy would hold the array alone.
        begin = -whole.ctypes.data % _PAGE
        taken = np.frombuffer(whole.data, np.uint8, size, begin)
        weakref.finalize(taken, self._free.append, whole).atexit = False
        return taken


def read(path: Path, first: int, size: int, buffers: Buffers | None) -> np.ndarray:
    """Return bytes of a file, (size,), uint8; first: the place of the first one.

    buffers: what they are read into. Then they are not kept in the system's cache where
        memory does not hold the file: it would have gone before it is read again, and
        to copy from it and to clear it takes the processor as long as the disk.

    Raises:
        InputError: the file is shorter, or cannot be read
    """
    with readable(path):
        past_cache = bool(buffers) and path.stat().st_size > memory.available()
        buffers = buffers or Buffers()
        if past_cache and hasattr(os, "O_DIRECT"):
            with suppress(OSError):  # not every file system has it
                return _read(path, first, size, buffers, os.O_DIRECT)
        return _read(path, first, size, buffers)


def _read(
    path: Path, first: int, size: int, buffers: Buffers, flags: int = 0
) -> np.ndarray:
    begin = first % _PAGE
    pages = buffers.take(-(-(begin + size) // _PAGE) * _PAGE)
    with open(os.open(path, os.O_RDONLY | flags), "rb", buffering=0) as file:
        file.seek(first - begin)
        done = 0
        while done < begin + size:
            count = file.readinto(pages[done : done + _CHUNK].data)
            if not count:
                raise InputError(f"{path}: has become shorter since it was opened")
            done += count
    return pages[begin : begin + size]
