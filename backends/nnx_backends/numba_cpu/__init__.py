"""Numba on the CPU: whole training steps compiled, by a team of threads.

Every option is in the compiled steps, in both dtypes; `program` says what a step does.
"""

from functools import partial
from typing import Any

import numpy as np

from nnx import cores
from nnx.backend import Backend, FirstRun
from nnx.errors import (
    BackendError,
    InputError,
    MissingLibraryError,
    UnusableBackendError,
    in_few_words,
)
from nnx.maths.ops import Ops
from nnx_backends.host_memory import keep_freed

# What loaders of libraries say where there is no memory: glibc's, and the system's.
NO_ROOM = "failed to map segment", "Cannot allocate memory"


def load(threads: int | None = None, precision: str = "full") -> Backend:
    """Return the backend.

    threads: of a team; by default one for each core that this process may use, or as
        many as NUMBA_NUM_THREADS says, which joblib sets for its processes
    precision: "full", or "bf16": factors of wide layers' float32 products are rounded
        to bfloat16, by a processor that multiplies such numbers

    Raises:
        MissingLibraryError: Numba is missing
        UnusableBackendError: Numba is told not to compile, or cannot be loaded; the
            processor has no products of bfloat16 numbers
        InputError: threads that are no number of threads; a precision of another name
    """
    _check_options(threads, precision)
    try:
        from numba import config

        if config.DISABLE_JIT:
            raise UnusableBackendError(
                "backend 'numba' has nothing but what it compiles: unset "
                "NUMBA_DISABLE_JIT, or use --backend numpy"
            )
        from nnx_backends.memories import Memories
        from nnx_backends.numba_cpu import first_run, run
        from nnx_backends.numba_cpu.memory import Memory
        from nnx_backends.numba_cpu.threads import Threads
    except (ImportError, MemoryError, OSError) as error:
        raise _unusable(error) from None
    keep_freed()
    usable = min(cores.available(), config.NUMBA_NUM_THREADS)
    team, note = Threads(threads or usable), first_run.note()
    memories = Memories[Memory]()
    how: dict[str, Any] = {"threads": team, "rounds": _rounds(precision)}
    return Backend(
        name="numba",
        device="cpu",
        ops=Ops(np, logits=partial(run.logits, threads=team)),
        from_numpy=np.asarray,
        to_numpy=np.asarray,
        first_run=FirstRun(
            note,
            first_run.COMPILE_SECONDS if note else 0.0,
            partial(first_run.compile_kernels, **how),
            partial(run.way, rounds=how["rounds"]),
        ),
        own_steps=partial(run.run_steps, memories=memories, **how),
    )


def _check_options(threads: int | None, precision: str) -> None:
    if threads is not None and not (type(threads) is int and 1 <= threads <= 1024):
        raise InputError(
            f"threads must be an integer from 1 to 1024, not {in_few_words(threads)}"
        )
    if precision not in ("full", "bf16"):
        raise InputError(
            f"precision on backend 'numba' must be one of full, bf16, not {precision!r}"
        )


def _rounds(precision: str) -> bool:
    """Return whether factors are rounded, where the processor can multiply them."""
    from nnx_backends.numba_cpu.vectors import HAS_BFLOAT16

    if precision == "bf16" and not HAS_BFLOAT16:
        raise UnusableBackendError(
            "this processor multiplies no bfloat16 numbers (AVX512-BF16): give no "
            "--precision"
        )
    return precision == "bf16"


def _unusable(error: Exception) -> BackendError:
    """Return why Numba cannot be loaded.

    Without memory llvmlite says that its library cannot be found; what the loader said
    is behind that.
    """
    behind: BaseException | None = error
    while behind is not None:
        said = str(behind)
        if isinstance(behind, MemoryError) or any(words in said for words in NO_ROOM):
            return UnusableBackendError(
                "backend 'numba' cannot be loaded: out of memory, or of what is "
                "allowed of it (ulimit -v); use --backend numpy"
            )
        behind = behind.__cause__ or behind.__context__
    return MissingLibraryError(
        f"backend 'numba' needs Numba ({error}): pip install nnx-mlp, "
        "or use --backend numpy"
    )
