"""NumPy on the CPU: the reference every other backend is compared with."""

from typing import Any

import numpy as np

from nnx.backend import Backend
from nnx.maths import steps
from nnx.maths.kernels import Array
from nnx_backends.host_memory import keep_freed


def load() -> Backend:
    """Return the backend; it works wherever NumPy does."""
    keep_freed()
    return Backend(
        name="numpy",
        device="cpu",
        xp=np,
        from_numpy=np.asarray,
        to_numpy=np.asarray,
        update=_update,
        run_steps=_run_steps,
    )


def _update(parameter: Array, gradient: Array, learning_rate: float) -> Array:
    """Return `optimizers.update`'s bits in memory that nobody needs again."""
    np.multiply(gradient, learning_rate, out=gradient)
    return np.subtract(parameter, gradient, out=gradient)


def _run_steps(*args: Any) -> steps.State:
    """Run the plain steps; a loss that is no longer finite is found by the loop."""
    with np.errstate(over="ignore", invalid="ignore"):
        return steps.run_steps(*args)
