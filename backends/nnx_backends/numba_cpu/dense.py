"""One dense layer on arrays as they come, for what the compiled steps do not cover."""

import numpy as np
from numba import njit

from nnx.maths.arrays import Array, Namespace
from nnx_backends.numba_cpu import activations, narrow, wide
from nnx_backends.numba_cpu.activations import LOOP, block
from nnx_backends.numba_cpu.cache import cached_njit
from nnx_backends.numba_cpu.elementary import like
from nnx_backends.numba_cpu.team import partition, read_only, run_team

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
    size = min(threads, 1 + x.shape[0] * weight.size // WORTH_A_THREAD)
    code = activations.NAMES.index(activation)
    arrays = (read_only(np.ascontiguousarray(a, real)) for a in (x, weight, bias))
    run_team(size, forward_part, code, *arrays, y)
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
    activation_gradient(code, dz, read_only(np.ascontiguousarray(y)))
    return dz @ weight.T if input_gradient else None, x.T @ dz, dz.sum(axis=0)


@cached_njit(nogil=True)
def forward_part(team, code, x, w, bias, y):
    """Set this thread's rows of y to f(x @ w + bias).

    code: the activation's place in `activations.NAMES`
    x: (batch, n), w: (n, m), bias: (m,), y: (batch, m)
    """
    m = w.shape[1]
    rows = partition(len(x), wide.ROWS, team)
    if rows[1] - rows[0] < wide.ROWS:
        _few_rows(x, w, y, rows)
    elif m <= narrow.UNITS:
        narrow.product(x, np.ascontiguousarray(w.T), y, rows)
    else:
        wide.plain_product(x, w, y, rows)
    activations.forward(code, y, bias, block(rows, (0, m)))


@cached_njit(nogil=True)
def activation_gradient(code, dy, y):
    """Turn dy into dz, in place; both (batch, m)."""
    part = block((0, y.shape[0]), (0, y.shape[1]))
    activations.backward(code, dy, y, part, like(1.0, y[0, 0]))


@njit(nogil=True, fastmath=LOOP, error_model="numpy")
def _few_rows(x, w, y, rows):
    """Set rows of y to x @ w by running through w once for each."""
    n, m, four = w.shape[0], np.uint64(w.shape[1]), np.uint64(4)
    for i in range(np.uint64(rows[0]), np.uint64(rows[1])):
        for j in range(m):
            y[i, j] = like(0.0, x[0, 0])
        for group in range(np.uint64(n // 4)):
            k = group * four
            a, b, c, d = x[i, k], x[i, k + 1], x[i, k + 2], x[i, k + 3]
            for j in range(m):
                y[i, j] += (a * w[k, j] + b * w[k + 1, j]) + (
                    c * w[k + 2, j] + d * w[k + 3, j]
                )
        for last in range(np.uint64(n - n % 4), np.uint64(n)):
            for j in range(m):
                y[i, j] += x[i, last] * w[last, j]
