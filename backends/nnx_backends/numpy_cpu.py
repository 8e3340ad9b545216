"""NumPy on the CPU: the reference every other backend is compared with."""

from functools import partial

import numpy as np

from nnx.backend import Backend
from nnx.maths.arrays import Array
from nnx.maths.ops import Ops
from nnx_backends.host_memory import keep_freed


def load() -> Backend:
    """Return the backend; it works wherever NumPy does."""
    keep_freed()
    return Backend(
        name="numpy",
        device="cpu",
        ops=Ops(np, update=_update),
        from_numpy=np.asarray,
        to_numpy=np.asarray,
        # The training loop reports a loss that is no longer finite.
        scope=partial(np.errstate, all="ignore"),
    )


def _update(parameter: Array, direction: Array, learning_rate: float) -> Array:
    """Return the same bits as `optimizers.update`, in the direction's memory."""
    np.multiply(direction, learning_rate, out=direction)
    return np.subtract(parameter, direction, out=direction)
