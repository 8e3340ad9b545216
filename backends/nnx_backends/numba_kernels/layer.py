"""One dense layer's output on arrays as they come, nothing padded or in panels."""

from typing import Any

import numpy as np
from numba import njit

from nnx_backends.numba_kernels import activations, narrow, wide
from nnx_backends.numba_kernels.activations import LOOP, block
from nnx_backends.numba_kernels.elementary import like
from nnx_backends.numba_kernels.kept import kept
from nnx_backends.numba_kernels.steps import NARROW
from nnx_backends.numba_kernels.team import share


@njit(nogil=True, fastmath=LOOP, error_model="numpy")
def _few(x: Any, w: Any, y: Any, top: int, bottom: int) -> None:
    """Set rows of y to x @ w by running through w once for each."""
    n, m, four = w.shape[0], np.uint64(w.shape[1]), np.uint64(4)
    for i in range(np.uint64(top), np.uint64(bottom)):
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


@kept(nogil=True)
def forward(rank: int, team: int, code: int, x: Any, w: Any, bias: Any, y: Any) -> None:
    """Set this thread's rows of y to f(x @ w + bias).

    code: the activation's place in `activations.NAMES`
    x: (batch, n), w: (n, m), bias: (m,), y: (batch, m)
    """
    m = w.shape[1]
    top, bottom = share(len(x), rank, team, wide.ROWS)
    if bottom - top < wide.ROWS:
        _few(x, w, y, top, bottom)
    elif m <= NARROW:
        narrow.products(x, np.ascontiguousarray(w.T), y, top, bottom)
    else:
        wide.plain_product(x, w, y, top, bottom)
    activations.forward(code, y, bias, block(top, bottom, 0, m))


@kept(nogil=True)
def activation_gradient(code: int, dy: Any, y: Any) -> None:
    """Turn dy into dz, in place; both (batch, m)."""
    bounds = block(0, y.shape[0], 0, y.shape[1])
    activations.backward(code, dy, y, bounds, like(1.0, y[0, 0]))
