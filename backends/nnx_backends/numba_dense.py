"""Dense layers by the compiled kernels, for what the compiled steps do not cover."""

import numpy as np
from nnx.maths.kernels import Array, Namespace

from nnx_backends.numba_kernels import activations, layer
from nnx_backends.numba_threads import read_only, together

# Products of two numbers that a thread should have to do, for its start to pay.
WORTH_A_THREAD = 20_000_000


def forward(
    x: Array,
    weight: Array,
    bias: Array,
    *,
    activation: str,
    xp: Namespace,
    threads: int,
) -> Array:
    """Return the layer's output; like `nnx.maths.dense.forward`."""
    real = np.result_type(x, weight, bias)
    y = np.empty((len(x), len(bias)), real)
    team = min(threads, 1 + x.shape[0] * weight.size // WORTH_A_THREAD)
    code = activations.NAMES.index(activation)
    arrays = (read_only(np.ascontiguousarray(a, real)) for a in (x, weight, bias))
    together(team, layer.forward, code, *arrays, y)
    return y


def backward(
    dy: Array,
    x: Array,
    y: Array,
    weight: Array,
    *,
    activation: str,
    input_gradient: bool,
    xp: Namespace,
) -> tuple[Array | None, Array, Array]:
    """Return the gradients; like `nnx.maths.dense.backward`.

    Only large batches come here, and BLAS is good at those.
    """
    dz = np.array(dy, order="C")
    code = activations.NAMES.index(activation)
    layer.activation_gradient(code, dz, read_only(np.ascontiguousarray(y)))
    return dz @ weight.T if input_gradient else None, x.T @ dz, dz.sum(axis=0)
