"""Numba on the CPU: whole training steps, compiled, run by a team of threads.

The compiled steps have every option, in both dtypes, except for batch normalization in
shards; `program` says what a step does.
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

# The messages of glibc's library loader, and of the system, when memory runs out.
NO_ROOM = "failed to map segment", "Cannot allocate memory"


def load(threads: int | None = None, precision: str = "full") -> Backend:
    """Return the backend.

    threads: the team's size; by default one per core that this process may use, but at
        most NUMBA_NUM_THREADS, which joblib sets for its processes
    precision: "full", or "bf16" to round the factors of wide layers' float32 products
        to bfloat16, on a processor that multiplies such numbers

    Raises:
        MissingLibraryError: Numba is missing, or cannot be loaded
        UnusableBackendError: compiling is disabled in Numba, or memory runs out while
            it is loaded; the processor cannot multiply bfloat16 numbers
        InputError: threads is not an integer from 1 to 1024; an unknown precision
    """
    _check_options(threads, precision)
    try:
        from numba import config

        if config.DISABLE_JIT:
            raise UnusableBackendError(
                "backend 'numba' has to compile its kernels: unset NUMBA_DISABLE_JIT, "
                "or use --backend numpy"
            )
        from nnx_backends.memories import Memories
        from nnx_backends.numba_cpu import first_run, run
        from nnx_backends.numba_cpu.threads import Threads
    except (ImportError, MemoryError, OSError) as error:
        raise _unusable(error) from None
    keep_freed()
    usable = min(cores.available(), config.NUMBA_NUM_THREADS)
    team = Threads(threads or usable)
    compiling = first_run.seconds(team.most)
    memories = Memories[run.Work]()
    how: dict[str, Any] = {"threads": team, "rounds": _rounds(precision)}
    return Backend(
        name="numba",
        device="cpu",
        ops=Ops(np, logits=partial(run.logits, threads=team)),
        from_numpy=np.asarray,
        to_numpy=np.asarray,
        first_run=FirstRun(
            first_run.note(compiling),
            compiling,
            partial(first_run.compile_kernels, **how),
            partial(run.way, rounds=how["rounds"]),
        ),
        scope=partial(np.errstate, all="ignore"),
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
    """Return whether factors are rounded; refuse it if the processor cannot do it."""
    from nnx_backends.numba_cpu.vectors import HAS_BFLOAT16

    if precision == "bf16" and not HAS_BFLOAT16:
        raise UnusableBackendError(
            "this processor cannot multiply bfloat16 numbers (AVX512-BF16): give no "
            "--precision"
        )
    return precision == "bf16"


def _unusable(error: Exception) -> BackendError:
    """Return the error that says why Numba cannot be loaded.

    When memory runs out, llvmlite says that its library cannot be found. The loader's
    own message is in an exception that this one was chained to.
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
