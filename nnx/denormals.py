"""Denormal numbers, below 1e-38 in float32, taken as 0 while steps are computed.

Weights and averages that decay, and units that saturate, end in them, and some
processors take a hundred times as long for each (Intel 64 and IA-32 Architectures
Optimization Reference Manual, "Floating-Point Assists"). The switch belongs to the
thread, and to those that it starts.
"""

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

# Of MXCSR, the last of the 32-bit words of the floating-point environment on x86-64:
# results that would be denormal are 0, and so are denormal operands.
FLUSH, WORDS, MXCSR = 0x8040, 8, 7


@contextmanager
def flushed() -> Iterator[None]:
    """Take denormal numbers as 0 in this thread, on Linux and x86-64."""
    libm = _libm()
    if libm is None:
        yield
        return
    environment = (ctypes.c_uint32 * WORDS)()
    libm.fegetenv(environment)
    before = environment[MXCSR]
    environment[MXCSR] |= FLUSH
    libm.fesetenv(environment)
    try:
        yield
    finally:
        environment[MXCSR] = before
        libm.fesetenv(environment)


@cache
def _libm() -> Any:
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return None
    return ctypes.CDLL("libm.so.6") if platform.libc_ver()[0] == "glibc" else None
