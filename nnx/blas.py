"""Which kernels OpenBLAS takes and how many threads, and better choices.

An OpenBLAS that is older than an AMD processor takes the kernels of one that it knows,
and without AVX-512 they run at half the speed. It reads OPENBLAS_CORETYPE as it is
loaded, so the choice has to be made before NumPy is imported, and only a program may
make it: a library that is imported into somebody's process leaves it alone.
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
# Multiplications of a product under which a second thread gains little, and loses much
# where another program keeps its core: each waits for the other at every product.
SMALL = 8_000_000
SLOW = {"Haswell", "Zen", "Sandybridge", "Nehalem", "Prescott", "Core2", "generic"}


def processor() -> dict[str, str]:
    """Return what Linux says of the first core, "model name" and "flags" for two."""
    try:
        described = Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        return {}
    first = described.partition("\n\n")[0].splitlines()
    pairs = (line.partition(":") for line in first)
    return {name.strip(): value.strip() for name, _, value in pairs}


def advised() -> str | None:
    """Return the kernels to ask for, or None where OpenBLAS knows the processor.

    Intel's processors it knows; off Linux nothing is said.
    """
    facts = processor()
    amd = facts.get("vendor_id") == "AuthenticAMD"
    return KERNELS if amd and set(facts.get("flags", "").split()) >= NEEDED else None


def choose() -> None:
    """Ask for the faster kernels, unless the user has asked for any."""
    kernels = advised()
    if kernels is not None and VARIABLE not in os.environ:
        os.environ[VARIABLE] = kernels


def warning(kernels: list[str]) -> str | None:
    """Return what to set where the kernels in use are slow ones, or None."""
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
    """Return the module, imported without the variable that it sets for everyone."""
    variable = "KMP_DUPLICATE_LIB_OK"
    before = os.environ.get(variable)
    import threadpoolctl as module

    if before is None:
        os.environ.pop(variable, None)
    return module


@contextmanager
def threads_for(multiplications: int) -> Iterator[None]:
    """Let BLAS compute with one thread here if the largest product is a small one.

    The rule knows no load: BLAS's last bits depend on the number of its threads.
    """
    if multiplications >= SMALL:
        yield
        return
    with _controller().limit(limits=1, user_api="blas"):
        yield


@cache
def _controller() -> Any:
    """Return what sets the threads of the libraries loaded so far, NumPy's among them.

    Looking for them takes some milliseconds, and a small fit not many more.
    """
    return threadpoolctl().ThreadpoolController()
