"""One thread's share of a layer's output, gradient and update.

Between two barriers no thread writes what another reads; the barriers are the steps'.
"""

from typing import Any

import numpy as np
from numba import njit

from nnx_backends.numba_kernels import activations, narrow, optimizers, wide
from nnx_backends.numba_kernels.activations import LOOP, block
from nnx_backends.numba_kernels.elementary import like
from nnx_backends.numba_kernels.optimizers import Numbers
from nnx_backends.numba_kernels.team import share

GRAIN = 16  # units: a cache line of float32
IMAGES = 4  # images: the height of a tile


@njit(nogil=True)
def layer(params: Any, layout: Any, i: int) -> Any:
    """Return a layer's shape and activation, its weight, flat, and its bias."""
    n, m, columns, code, weight_at, bias_at = layout[i, :6]
    shape = n, m, columns
    return shape, code, params[weight_at:bias_at], params[bias_at : bias_at + m]


@njit(nogil=True)
def matrix(flat: Any, layout: Any, i: int) -> Any:
    """Return a layer's matrix in y or dz, (rows, stride)."""
    rows, stride, at = layout[i, 6:]
    return flat[at : at + rows * stride].reshape((rows, stride))


@njit(nogil=True, fastmath=LOOP, error_model="numpy")
def _sum_rows(dz: Any, batch: int, left: int, right: int) -> None:
    """Set columns [left, right) of dz's first row to the sums over the batch.

    Nobody else reads these columns, and this thread is done with them.
    """
    first, last = np.uint64(left), np.uint64(right)
    for i in range(np.uint64(1), np.uint64(batch)):
        for j in range(first, last):
            dz[0, j] += dz[i, j]


@njit(nogil=True, fastmath=LOOP, error_model="numpy")
def _sum_columns(dz: Any, batch: int, m: int, sums: Any) -> None:
    """Set sums to those of dz, (batch, m), over the batch.

    Summed first: taken off image by image, it would be rounded to the bias's size.
    """
    for j in range(np.uint64(m)):
        total = like(0.0, dz[0, 0])
        for i in range(np.uint64(batch)):
            total += dz[i, j]
        sums[j] = total


@njit(nogil=True)
def _columns(w: Any, m: int, rank: int, team: int) -> Any:
    """Return the panels of a wide weight that are this thread's, and their columns."""
    left, right = share(w.shape[0], rank, team, 1)
    return left, right, min(left * w.shape[2], m), min(right * w.shape[2], m)


@njit(nogil=True)
def forward(
    code: int, x: Any, flat: Any, shape: Any, bias: Any, y: Any, batch: int, rank: int,
    team: int,
) -> Any:  # fmt: skip
    """Set this thread's share of y, (batch, m), from x; return where it is."""
    n, m, columns = shape
    if columns == 0:
        top, bottom = share(batch, rank, team, IMAGES)
        narrow.products(x, flat.reshape((m, n)), y, top, bottom)
        bounds = block(top, bottom, 0, m)
    else:
        w = _panels(flat, n, columns)
        left, right, first, last = _columns(w, m, rank, team)
        wide.product(x, w, y, batch, n, left, right)
        bounds = block(0, batch, first, last)
    activations.forward(code, y, bias, bounds)
    return bounds


@njit(nogil=True)
def backward(
    dz: Any, flat: Any, shape: Any, dx: Any, batch: int, rank: int, team: int
) -> Any:
    """Set this thread's share of dx, (batch, n), from dz; return where it is."""
    n, m, columns = shape
    if columns == 0:
        top, bottom = share(batch, rank, team, IMAGES)
        narrow.input_gradient(dz, flat.reshape((m, n)), dx, top, bottom)
        return block(top, bottom, 0, n)
    first, last = share(n, rank, team, GRAIN)
    wide.input_gradient(dz, _panels(flat, n, columns), dx, batch, first, last)
    return block(0, batch, first, last)


@njit(nogil=True)
def update(
    x: Any, dz: Any, params: Any, slots: Any, place: Any, numbers: Any, stored: bool,
    most: Any, sums: Any, batch: int, rank: int, team: int,
) -> None:  # fmt: skip
    """Update this thread's share of a layer.

    stored: without it, the gradient of the weight never is
    """
    n, m, columns, _, weight_at, bias_at = place
    one, zero = like(1.0, numbers.rate), like(0.0, numbers.rate)
    free = Numbers(
        numbers.code, numbers.rate, numbers.momentum, numbers.mean_scale,
        numbers.square_scale, numbers.beta2, numbers.mean_rest,
        numbers.square_rest, one, zero, zero,
    )  # fmt: skip
    flat, keep = params[weight_at:bias_at], numbers.keep - numbers.rate * numbers.l2
    if columns == 0:
        left, right = share(n, rank, team, GRAIN)
        if stored:
            narrow.optimize(
                x, dz, n, m, batch, left, right, params, slots, weight_at, numbers, sums
            )
        else:
            w = flat.reshape((m, n))
            narrow.update(x, dz, w, batch, left, right, numbers.rate, keep, sums)
        if rank == 0:
            _sum_columns(dz, batch, m, sums[0])
            optimizers.apply(sums[0], 0, params, slots, bias_at, m, free)
        return
    w = _panels(flat, n, columns)
    left, right, first, last = _columns(w, m, rank, team)
    if stored:
        wide.optimize(
            x, dz, w.shape, batch, n, left, right, params, slots, weight_at, numbers,
            sums.reshape(-1),
        )  # fmt: skip
    else:
        wide.update(x, dz, w, batch, n, left, right, numbers.rate, keep)
    if most > zero:
        wide.bound(w, left, right, most, sums[0])
    _sum_rows(dz, batch, first, last)
    optimizers.apply(dz[0], first, params, slots, bias_at + first, last - first, free)


@njit(nogil=True)
def _panels(flat: Any, n: int, columns: int) -> Any:
    """Return a wide layer's weight, (panels, rows, columns), as it is stored."""
    rows = (n + wide.WHOLE - 1) // wide.WHOLE * wide.WHOLE
    return flat.reshape((len(flat) // (rows * columns), rows, columns))


@njit(nogil=True)
def bound_narrow(params: Any, layout: Any, most: Any, rank: int, team: int) -> None:
    """Bound the weights of narrow layers' units, which several threads have updated."""
    for i in range(len(layout)):
        shape, _, flat, _ = layer(params, layout, i)
        n, m, columns = shape
        if columns == 0:
            top, bottom = share(m, rank, team, 1)
            narrow.bound(flat.reshape((m, n)), top, bottom, most)
