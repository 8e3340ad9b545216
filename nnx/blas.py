"""OpenBLAS's kernels and number of threads, and better choices of both.

An OpenBLAS older than an AMD processor falls back to the kernels of a processor that
it knows; without AVX-512, these have half the speed. OpenBLAS reads OPENBLAS_CORETYPE
when it is loaded, so it must be set before NumPy is imported. Only a program may do
that: a library imported into another program leaves the variable alone.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

VARIABLE = "OPENBLAS_CORETYPE"
KERNELS = "SkylakeX"  # OpenBLAS's name for its AVX-512 kernels
NEEDED = {"avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512cd"}
# For products of fewer multiplications a second thread gains little. If another program
# uses its core it costs much, because the threads wait for each other at every product.
SMALL = 8_000_000
SLOW = {"Haswell", "Zen", "Sandybridge", "Nehalem", "Prescott", "Core2", "generic"}


def processor() -> dict[str, str]:
    """Return Linux's facts on the first core, such as "model name" and "flags"."""
    try:
        described = Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        return {}
    first = described.partition("\n\n")[0].splitlines()
    pairs = (line.partition(":") for line in first)
    return {name.strip(): value.strip() for name, _, value in pairs}


def advised() -> str | None:
    """Return the kernels to ask for; None if OpenBLAS's own choice is good or unknown.

    OpenBLAS knows Intel's processors. On systems other than Linux, nothing is advised.
    """
    facts = processor()
    amd = facts.get("vendor_id") == "AuthenticAMD"
    return KERNELS if amd and set(facts.get("flags", "").split()) >= NEEDED else None


def choose() -> None:
    """Ask for the faster kernels, unless the user has chosen some."""
    kernels = advised()
    if kernels is not None and VARIABLE not in os.environ:
        os.environ[VARIABLE] = kernels


def warning(kernels: list[str]) -> str | None:
    """Return advice if slow kernels are in use, or None."""
    better = advised()
    if better is None or not SLOW.intersection(kernels):
        return None
    advice = f"set {VARIABLE}={better} before NumPy is imported"
    if VARIABLE in os.environ:
        advice = f"{VARIABLE}={os.environ[VARIABLE]} is set: unset it, or {advice}"
    return (
        f"OpenBLAS uses its {', '.join(sorted(set(kernels)))} kernels, about half as "
        f"fast here as {better}; {advice}"
    )


def threadpoolctl() -> Any:
    """Import threadpoolctl without the environment variable that its import sets."""
    variable = "KMP_DUPLICATE_LIB_OK"
    before = os.environ.get(variable)
    import threadpoolctl as module

    if before is None:
        os.environ.pop(variable, None)
    return module


@contextmanager
def threads_for(multiplications: int) -> Iterator[None]:
    """Limit BLAS to one thread inside if the largest product is small.

    The rule ignores the machine's load, because the last bits of BLAS's results depend
    on the number of threads.

    multiplications: of the largest product; 0: always one thread
    """
    if multiplications >= SMALL:
        yield
        return
    with _controller().limit(limits=1, user_api="blas"):
        yield


@cache
def _controller() -> Any:
    """Return the controller of the libraries loaded so far, including NumPy's.

    It is cached: making it takes a few milliseconds, nearly as long as a small fit.
    """
    return threadpoolctl().ThreadpoolController()
