"""Denormal numbers, below 1e-38 in float32, treated as 0 while steps are computed.

Decaying weights and averages, and saturated units, end up as denormal numbers, and
some processors take a hundred times as long for each (Intel 64 and IA-32 Architectures
Optimization Reference Manual, "Floating-Point Assists"). The setting belongs to a
thread, and threads inherit it from the one that starts them.
"""

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

# Bits of MXCSR, the last 32-bit word of the floating-point environment on x86-64: treat
# denormal results and operands as 0.
FLUSH, WORDS, MXCSR = 0x8040, 8, 7


@contextmanager
def flushed() -> Iterator[None]:
    """Treat denormal numbers as 0 in this thread, on Linux with x86-64 and glibc."""
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
