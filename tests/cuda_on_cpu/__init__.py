"""The real CuPy on a machine without a card: see README.md.

A process that has `site` first on its path prepares it as it imports CuPy.
"""

import ctypes
from collections.abc import Sequence
from typing import NamedTuple


class Counts(NamedTuple):
    """What was asked of the device.

    launches: of kernels, of which a product, a sort, a fill and a copy on the device
        are one each
    synchronizations: of the host, which waited
    copies: between host and device
    allocations: from the driver, not from CuPy's pool
    """

    launches: int
    synchronizations: int
    copies: int
    allocations: int


def counts() -> Counts:
    """Return what was asked of the device since `reset`, or since the start."""
    numbers = (ctypes.c_long * len(Counts._fields)).in_dll(_driver(), "emu_counts")
    return Counts(*numbers)


def launched() -> Sequence[str]:
    """Return the name of each launch that `counts` counts, the first first."""
    names = (ctypes.c_char_p * counts().launches)()
    _driver().emu_launched(names, len(names))
    return [name.decode() for name in names]


def reset() -> None:
    """Count from 0 again."""
    _driver().emu_reset()


def _driver() -> ctypes.CDLL:
    return ctypes.CDLL("libcuda.so.1")
