"""Numba on the CPU: whole training steps compiled, by a team of threads.

`run_steps` covers every depth, width and dtype in batches of up to 1024 images, with
every option but gelu, silu, batch normalization and a bound on the gradient's norm;
what it does not cover takes the plain steps with this record's kernels.
"""

from functools import partial
from typing import Any

import numpy as np

from nnx import cores
from nnx.backend import Backend
from nnx.errors import MissingLibraryError, UnusableBackendError
from nnx.maths.steps import Epoch, Images, Recipe, State
from nnx.maths.steps import run_steps as run_plain_steps
from nnx_backends.host_memory import keep_freed

COMPILES = "compiling the kernels, once for this installation: about ten seconds"
COMPILES_ANEW = (
    "compiling the kernels, in every run, as Numba can write to no cache folder: about "
    "ten seconds; set NUMBA_CACHE_DIR to a folder that it can write to"
)


def load(threads: int | None = None) -> Backend:
    """Return the backend.

    threads: of a team; by default one for each core that this process may use
    Refused: Numba missing, or told not to compile.
    """
    try:
        from numba import config

        if config.DISABLE_JIT:
            raise UnusableBackendError(
                "backend 'numba' has nothing but what it compiles: unset "
                "NUMBA_DISABLE_JIT, or use --backend numpy"
            )
        from nnx_backends.numba_cpu import dense, distort, run
    except ImportError as error:
        raise MissingLibraryError(
            f"backend 'numba' needs Numba ({error}): pip install nnx-mlp, "
            "or use --backend numpy"
        ) from None
    keep_freed()
    team = threads or cores.available()

    expected = COMPILES if run.is_cached() else COMPILES_ANEW

    def run_steps(
        state: State,
        images: Images,
        epoch: Epoch,
        first: int,
        last: int,
        recipe: Recipe,
        kernels: Any,
    ) -> State:
        arguments = (state, images, epoch, first, last, recipe)
        # A loss that is no longer finite is found by the loop.
        with np.errstate(over="ignore", invalid="ignore"):
            if run.covers(state, recipe):
                return run.run_steps(*arguments, team)
            return run_plain_steps(*arguments, kernels)

    return Backend(
        name="numba",
        device="cpu",
        xp=np,
        from_numpy=np.asarray,
        to_numpy=np.asarray,
        note="" if run.is_compiled() else expected,
        dense_forward=partial(dense.forward, threads=team),
        dense_backward=dense.backward,
        run_steps=run_steps,
        distort=partial(distort.distort, threads=team),
    )
