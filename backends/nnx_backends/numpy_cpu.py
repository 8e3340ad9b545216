"""NumPy on the CPU: the reference every other backend is compared with."""

from typing import Any

import numpy as np

from nnx.backend import Backend
from nnx.maths import steps
from nnx.maths.kernels import Array


def load() -> Backend:
    """Return the backend; it works wherever NumPy does."""
    _keep_freed_memory()
    return Backend(
        name="numpy",
        device="cpu",
        xp=np,
        from_numpy=np.asarray,
        to_numpy=np.asarray,
        update=_update,
        run_steps=_run_steps,
    )


def _keep_freed_memory() -> None:
    """Let the C library keep what a step frees, for the next step to use.

    Otherwise glibc may give it back to the system and take it anew, zeroed page by
    page, several times a step. It raises its limits for that to the largest mapped
    block that was ever freed (mallopt(3), M_MMAP_THRESHOLD), and 32 MiB at most.
    This block is never touched, and so takes no memory.
    """
    np.empty(31 * 2**20, np.uint8)


def _update(parameter: Array, gradient: Array, learning_rate: float) -> Array:
    """Return `sgd.update`'s bits in the gradient's memory, which nobody needs again."""
    np.multiply(gradient, learning_rate, out=gradient)
    return np.subtract(parameter, gradient, out=gradient)


def _run_steps(*args: Any) -> steps.State:
    """Run the plain steps; a loss that is no longer finite is found by the loop."""
    with np.errstate(over="ignore", invalid="ignore"):
        return steps.run_steps(*args)
