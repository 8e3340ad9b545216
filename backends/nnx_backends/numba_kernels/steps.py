"""Many training steps in one compiled call, by a team of threads.

Every thread runs `train` with a rank of its own. Narrow layers are shared out by
images, wide ones by units, so that each thread's part of a wide weight stays in its
own cache and BLAS packs every weight once. Between two barriers no thread writes what
another reads.
"""

from typing import Any

import numpy as np
from numba import njit

from nnx_backends.numba_kernels import activations, narrow
from nnx_backends.numba_kernels.activations import LOOP, block
from nnx_backends.numba_kernels.elementary import exp, like
from nnx_backends.numba_kernels.team import barrier, gemm, prefetch, share

# Up to so many units a layer is narrow. Measured; see docs/performance.md.
NARROW = 32
GRAIN = 16  # units: a cache line of float32
IMAGES = 4  # images: the height of a tile
AHEAD = np.uint64(3)  # images that are asked for before they are needed
N, T = ord("N"), ord("T")


@njit(nogil=True, fastmath=LOOP, error_model="numpy")
def _gather(pixels: Any, index: Any, top: int, bottom: int, scale: Any, x: Any) -> None:
    """Set rows of x, (batch, in_features), to the batch's images, scaled.

    They lie anywhere in memory, so the ones after the next few are asked for early.
    """
    for i in range(np.uint64(top), np.uint64(bottom)):
        image = index[i]
        if i + AHEAD < np.uint64(bottom):
            prefetch(pixels, index[i + AHEAD])
        for k in range(np.uint64(x.shape[1])):
            x[i, k] = like(pixels[image, k], scale) * scale


@njit(nogil=True, fastmath=LOOP, error_model="numpy")
def _loss(z: Any, labels: Any, index: Any, top: int, bottom: int, dz: Any) -> Any:
    """Set rows of dz to (softmax - one-hot) / batch; return summed loss and hits.

    z, dz: (batch, classes)
    """
    total, hits, one = like(0.0, z[0, 0]), 0, like(1.0, z[0, 0])
    classes = np.uint64(z.shape[1])
    images = like(z.shape[0], one)
    for i in range(np.uint64(top), np.uint64(bottom)):
        label = labels[index[i]]
        best = 0
        for j in range(1, z.shape[1]):
            if z[i, j] > z[i, best]:
                best = j
        top_logit, norm = z[i, best], like(0.0, one)
        for j in range(classes):
            dz[i, j] = exp(z[i, j] - top_logit)
        for j in range(classes):
            norm += dz[i, j]
        total += np.log(norm) + (top_logit - z[i, label])
        hits += best == label
        scale = one / (norm * images)
        for j in range(classes):
            dz[i, j] *= scale
        dz[i, label] -= one / images
    return total, hits


@njit(nogil=True, fastmath=LOOP, error_model="numpy")
def _update_narrow_bias(dz: Any, bias: Any, rate: Any) -> None:
    """Take rate times the sum of dz, (batch, m), off the bias.

    Summed first: taken off image by image, it would be rounded to the bias's size.
    """
    for j in range(np.uint64(len(bias))):
        total = like(0.0, rate)
        for i in range(np.uint64(dz.shape[0])):
            total += dz[i, j]
        bias[j] -= rate * total


@njit(nogil=True, fastmath=LOOP, error_model="numpy")
def _update_wide_bias(dz: Any, bias: Any, left: int, right: int, rate: Any) -> None:
    """Do the same for columns [left, right), summed in dz's first row.

    Nobody else reads these columns, and this thread is done with them.
    """
    first, last = np.uint64(left), np.uint64(right)
    for i in range(np.uint64(1), np.uint64(dz.shape[0])):
        for j in range(first, last):
            dz[0, j] += dz[i, j]
    for j in range(first, last):
        bias[j] -= rate * dz[0, j]


@njit(nogil=True)
def _forward(
    blas: int, code: int, x: Any, w: Any, bias: Any, y: Any, rank: int, team: int
) -> None:
    """Set this thread's share of y, (batch, m), from x, (batch, n)."""
    (batch, n), m = x.shape, y.shape[1]
    if m <= NARROW:
        top, bottom = share(batch, rank, team, IMAGES)
        narrow.products(x, w, y, top, bottom)
        activations.forward(code, y, bias, block(top, bottom, 0, m))
        return
    left, right = share(m, rank, team, GRAIN)
    if left < right:
        one, zero = like(1.0, w[0, 0]), like(0.0, w[0, 0])
        gemm(
            blas, N, N, right - left, batch, n, one, w, left, m, x, 0, n,
            zero, y, left, m,
        )  # fmt: skip
        activations.forward(code, y, bias, block(0, batch, left, right))


@njit(nogil=True)
def _backward(
    blas: int, code: int, dz: Any, w: Any, dx: Any, y: Any, rank: int, team: int
) -> None:
    """Set this thread's share of the layer below's dz, (batch, n), from its output y.

    dz: (batch, m); code: of the layer below's activation
    """
    (batch, m), n = dz.shape, dx.shape[1]
    if m <= NARROW:
        top, bottom = share(batch, rank, team, IMAGES)
        narrow.input_gradient(dz, w, dx, top, bottom)
        activations.backward(code, dx, y, block(top, bottom, 0, n))
        return
    left, right = share(n, rank, team, GRAIN)
    if left < right:
        one, zero = like(1.0, w[0, 0]), like(0.0, w[0, 0])
        gemm(
            blas, T, N, right - left, batch, m, one, w, left * m, m, dz, 0, m,
            zero, dx, left, n,
        )  # fmt: skip
        activations.backward(code, dx, y, block(0, batch, left, right))


@njit(nogil=True)
def _update(
    blas: int, x: Any, dz: Any, w: Any, bias: Any, rate: Any, keep: Any, sums: Any,
    rank: int, team: int,
) -> None:  # fmt: skip
    """Update this thread's share of a layer: the gradient is never formed."""
    (batch, n), m = x.shape, dz.shape[1]
    if m <= NARROW:
        left, right = share(n, rank, team, GRAIN)
        narrow.update(x, dz, w, left, right, rate, keep, sums)
        if rank == 0:
            _update_narrow_bias(dz, bias, rate)
        return
    left, right = share(m, rank, team, GRAIN)
    if left < right:
        gemm(
            blas, N, T, right - left, n, batch, -rate, dz, left, m, x, 0, n,
            keep, w, left, m,
        )  # fmt: skip
        _update_wide_bias(dz, bias, left, right, rate)


@njit(nogil=True)
def _matrix(flat: Any, at: int, rows: int, columns: int) -> Any:
    return flat[at : at + rows * columns].reshape((rows, columns))


@njit(nogil=True)
def _weight(params: Any, at: int, n: int, m: int) -> Any:
    """Return a layer's weight as it is stored, and its bias."""
    rows, columns = (m, n) if m <= NARROW else (n, m)
    end = at + n * m
    return _matrix(params, at, rows, columns), params[end : end + m]


@njit(nogil=True, cache=True)
def train(
    rank: int, team: int, counter: Any, blas: int, pixels: Any, labels: Any,
    order: Any, first: int, last: int, batch_size: int, scale: Any, rate: Any,
    keep: Any, sizes: Any, codes: Any, params: Any, param_at: Any, x: Any, y: Any,
    dz: Any, y_at: Any, losses: Any, hits: Any,
) -> None:  # fmt: skip
    """Train on the steps first … last - 1, as one of a team.

    counter: (1,) int64, zero; blas: gemm's address; keep: 1 - learning rate · l2
    sizes: (layers + 1,), codes: (layers,) of the activations
    params: flat: each layer's weight, (out, in) if narrow and (in, out) if not, and
        bias; param_at: (layers,) where each begins
    x: flat, two batches of images; y, dz: flat, outputs of all layers and the loss's
        gradients with respect to what goes into their activations; y_at: (layers,)
    losses: (team, last - first), for each step; hits: (team, padding), to add to
    """
    layers = len(codes)
    sums = np.empty((NARROW, narrow.STRIP), x.dtype)
    for step in range(first, last):
        index = order[step * batch_size : (step + 1) * batch_size]
        batch = len(index)
        top, bottom = share(batch, rank, team, IMAGES)
        # Two batches by turns: others may still be at the last step's update.
        images = _matrix(x, (step & 1) * (len(x) // 2), batch, sizes[0])
        _gather(pixels, index, top, bottom, scale, images)
        barrier(counter, team)
        source = images
        for i in range(layers):
            n, m = sizes[i], sizes[i + 1]
            if i > 0 and n <= NARROW < m:
                barrier(counter, team)
            w, bias = _weight(params, param_at[i], n, m)
            output = _matrix(y, y_at[i], batch, m)
            _forward(blas, codes[i], source, w, bias, output, rank, team)
            if m > NARROW:
                barrier(counter, team)
            source = output
        gradient = _matrix(dz, y_at[layers - 1], batch, sizes[layers])
        loss, right = _loss(source, labels, index, top, bottom, gradient)
        losses[rank, step - first] = loss
        hits[rank, 0] += right
        barrier(counter, team)
        for i in range(layers - 1, -1, -1):
            n, m = sizes[i], sizes[i + 1]
            w, bias = _weight(params, param_at[i], n, m)
            gradient = _matrix(dz, y_at[i], batch, m)
            source = images
            if i > 0:
                source = _matrix(y, y_at[i - 1], batch, n)
                below = _matrix(dz, y_at[i - 1], batch, n)
                _backward(blas, codes[i - 1], gradient, w, below, source, rank, team)
                barrier(counter, team)
            _update(blas, source, gradient, w, bias, rate, keep, sums, rank, team)
