"""Reading bytes of a file into reused memory, with or without the system's cache."""

import os
import weakref
from contextlib import suppress
from pathlib import Path

import numpy as np

from nnx import memory
from nnx.errors import InputError
from nnx.files import readable

_PAGE = 4096  # bytes; O_DIRECT needs this alignment in the file and in memory
_CHUNK = 1 << 22  # bytes; disks are fastest with reads of this size


class Buffers:
    """A pool of memory to read into; memory without references is reused.

    New memory costs more than reading into it, because the system clears each page.
    """

    def __init__(self) -> None:
        self._free: list[np.ndarray] = []

    def take(self, size: int) -> np.ndarray:
        """Return page-aligned memory, (size,); unreferenced, it returns to the pool."""
        whole = self._free.pop() if self._free else np.empty(0, np.uint8)
        if len(whole) < size + _PAGE:
            whole = np.empty(size + 2 * _PAGE, np.uint8)
        # Not a view of an array: NumPy would let views of it refer to that array alone.
        begin = -whole.ctypes.data % _PAGE
        taken = np.frombuffer(whole.data, np.uint8, size, begin)
        weakref.finalize(taken, self._free.append, whole).atexit = False
        return taken


def read(path: Path, first: int, size: int, buffers: Buffers | None) -> np.ndarray:
    """Return bytes of a file, (size,), uint8.

    first: the offset of the first byte
    buffers: memory to read into. With it, a file larger than memory is read without the
        system's cache: its pages would be evicted before they are read again, and
        clearing and copying them takes as long as reading the disk

    Raises:
        InputError: the file is too short, or cannot be read
    """
    with readable(path):
        past_cache = bool(buffers) and path.stat().st_size > memory.available()
        buffers = buffers or Buffers()
        if past_cache and hasattr(os, "O_DIRECT"):
            with suppress(OSError):  # not every file system supports it
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
