"""Many training steps in one compiled call, by a team of threads.

Every thread runs `train` with a rank of its own. Narrow layers are shared out by
images, wide ones by units, so that each thread's part of a wide weight stays in its
own cache. Between two barriers no thread writes what another reads.

Matrices are padded with zeros to whole tiles (`nnx_backends.numba_layout`), so their
shapes are at least what their names say.
"""

from typing import Any

import numpy as np
from numba import njit

from nnx_backends.numba_kernels import activations, narrow, wide
from nnx_backends.numba_kernels.activations import LOOP, block
from nnx_backends.numba_kernels.elementary import exp, like
from nnx_backends.numba_kernels.kept import kept
from nnx_backends.numba_kernels.team import barrier, prefetch, share

# Up to so many units a layer is narrow. Measured; see docs/performance.md.
NARROW = 32
GRAIN = 16  # units: a cache line of float32
IMAGES = 4  # images: the height of a tile
AHEAD = np.uint64(3)  # images that are asked for before they are needed


@njit(nogil=True, fastmath=LOOP, error_model="numpy")
def _gather(
    pixels: Any, index: Any, rows: Any, columns: Any, scale: Any, x: Any
) -> None:
    """Set a block of x to the batch's images, scaled.

    They lie anywhere in memory, so the ones after the next few are asked for early.

    rows, columns: where the block begins and ends
    """
    bottom, right = np.uint64(rows[1]), np.uint64(columns[1])
    for i in range(np.uint64(rows[0]), bottom):
        image = index[i]
        if i + AHEAD < bottom:
            prefetch(pixels, index[i + AHEAD], columns[0], columns[1])
        for k in range(np.uint64(columns[0]), right):
            x[i, k] = like(pixels[image, k], scale) * scale


@njit(nogil=True, fastmath=LOOP, error_model="numpy")
def _loss(
    z: Any, labels: Any, index: Any, classes: int, top: int, bottom: int, dz: Any
) -> Any:
    """Set rows of dz to (softmax - one-hot) / batch; return summed loss and hits.

    z, dz: (batch, classes)
    """
    total, hits, one = like(0.0, z[0, 0]), 0, like(1.0, z[0, 0])
    count = np.uint64(classes)
    images = like(len(index), one)
    for i in range(np.uint64(top), np.uint64(bottom)):
        label = labels[index[i]]
        best = 0
        for j in range(1, classes):
            if z[i, j] > z[i, best]:
                best = j
        top_logit, norm = z[i, best], like(0.0, one)
        for j in range(count):
            dz[i, j] = exp(z[i, j] - top_logit)
        for j in range(count):
            norm += dz[i, j]
        total += np.log(norm) + (top_logit - z[i, label])
        hits += best == label
        scale = one / (norm * images)
        for j in range(count):
            dz[i, j] *= scale
        dz[i, label] -= one / images
    return total, hits


@njit(nogil=True, fastmath=LOOP, error_model="numpy")
def _update_narrow_bias(dz: Any, batch: int, bias: Any, rate: Any) -> None:
    """Take rate times the sum of dz, (batch, m), off the bias.

    Summed first: taken off image by image, it would be rounded to the bias's size.
    """
    for j in range(np.uint64(len(bias))):
        total = like(0.0, rate)
        for i in range(np.uint64(batch)):
            total += dz[i, j]
        bias[j] -= rate * total


@njit(nogil=True, fastmath=LOOP, error_model="numpy")
def _update_wide_bias(
    dz: Any, batch: int, bias: Any, left: int, right: int, rate: Any
) -> None:
    """Do the same for columns [left, right), summed in dz's first row.

    Nobody else reads these columns, and this thread is done with them.
    """
    first, last = np.uint64(left), np.uint64(right)
    for i in range(np.uint64(1), np.uint64(batch)):
        for j in range(first, last):
            dz[0, j] += dz[i, j]
    for j in range(first, last):
        bias[j] -= rate * dz[0, j]


@njit(nogil=True)
def _columns(w: Any, m: int, rank: int, team: int) -> Any:
    """Return the panels of a wide weight that are this thread's, and their columns."""
    left, right = share(w.shape[0], rank, team, 1)
    return left, right, min(left * w.shape[2], m), min(right * w.shape[2], m)


@njit(nogil=True)
def _forward(
    code: int, x: Any, flat: Any, shape: Any, bias: Any, y: Any, batch: int, rank: int,
    team: int,
) -> None:  # fmt: skip
    """Set this thread's share of y, (batch, m), from x, (batch, n)."""
    n, m, columns = shape
    if columns == 0:
        top, bottom = share(batch, rank, team, IMAGES)
        narrow.products(x, flat.reshape((m, n)), y, top, bottom)
        activations.forward(code, y, bias, block(top, bottom, 0, m))
        return
    w = _panels(flat, n, columns)
    left, right, first, last = _columns(w, m, rank, team)
    wide.product(x, w, y, batch, n, left, right)
    activations.forward(code, y, bias, block(0, batch, first, last))


@njit(nogil=True)
def _backward(
    code: int, dz: Any, flat: Any, shape: Any, dx: Any, y: Any, batch: int, rank: int,
    team: int,
) -> None:  # fmt: skip
    """Set this thread's share of the layer below's dz, (batch, n), from its output y.

    dz: (batch, m); code: of the layer below's activation
    """
    n, m, columns = shape
    if columns == 0:
        top, bottom = share(batch, rank, team, IMAGES)
        narrow.input_gradient(dz, flat.reshape((m, n)), dx, top, bottom)
        activations.backward(code, dx, y, block(top, bottom, 0, n))
        return
    first, last = share(n, rank, team, GRAIN)
    wide.input_gradient(dz, _panels(flat, n, columns), dx, batch, first, last)
    activations.backward(code, dx, y, block(0, batch, first, last))


@njit(nogil=True)
def _update(
    x: Any, dz: Any, flat: Any, shape: Any, bias: Any, rate: Any, keep: Any, sums: Any,
    batch: int, rank: int, team: int,
) -> None:  # fmt: skip
    """Update this thread's share of a layer: the gradient is never stored."""
    n, m, columns = shape
    if columns == 0:
        left, right = share(n, rank, team, GRAIN)
        w = flat.reshape((m, n))
        narrow.update(x, dz, w, batch, left, right, rate, keep, sums)
        if rank == 0:
            _update_narrow_bias(dz, batch, bias, rate)
        return
    w = _panels(flat, n, columns)
    left, right, first, last = _columns(w, m, rank, team)
    wide.update(x, dz, w, batch, n, left, right, rate, keep)
    _update_wide_bias(dz, batch, bias, first, last, rate)


@njit(nogil=True)
def _panels(flat: Any, n: int, columns: int) -> Any:
    """Return a wide layer's weight, (panels, rows, columns), as it is stored."""
    rows = (n + wide.WHOLE - 1) // wide.WHOLE * wide.WHOLE
    return flat.reshape((len(flat) // (rows * columns), rows, columns))


@njit(nogil=True)
def _layer(params: Any, layout: Any, i: int) -> Any:
    """Return a layer's shape and activation, its weight, flat, and its bias."""
    n, m, columns, code, weight_at, bias_at = layout[i, :6]
    shape = n, m, columns
    return shape, code, params[weight_at:bias_at], params[bias_at : bias_at + m]


@njit(nogil=True)
def _matrix(flat: Any, layout: Any, i: int) -> Any:
    """Return a layer's matrix in y or dz, (rows, stride)."""
    rows, stride, at = layout[i, 6:]
    return flat[at : at + rows * stride].reshape((rows, stride))


@kept(nogil=True)
def train(
    rank: int, team: int, counter: Any, pixels: Any, labels: Any, order: Any,
    first: int, last: int, batch_size: int, scale: Any, rate: Any, keep: Any,
    layout: Any, params: Any, x: Any, y: Any, dz: Any, losses: Any, hits: Any,
) -> None:  # fmt: skip
    """Train on the steps first … last - 1, as one of a team.

    counter: (1,) int64, zero; keep: 1 - learning rate · l2
    layout: (layers, 9), see `nnx_backends.numba_layout.Place`
    params, y, dz: flat; y and dz are the layers' outputs and the loss's gradients with
        respect to what goes into their activations
    x: (team, rows, stride), a batch of images for each thread
    losses: (team, last - first), for each step; hits: (team, padding), to add to
    """
    layers, inputs = len(layout), layout[0, 0]
    images = x[rank]
    # What the update needs of images whose outputs are other threads' to find.
    seen = (0, inputs) if layout[0, 2] > 0 else share(inputs, rank, team, GRAIN)
    sums = np.empty((NARROW, narrow.STRIP), x.dtype)
    for step in range(first, last):
        index = order[step * batch_size : (step + 1) * batch_size]
        batch = len(index)
        top, bottom = share(batch, rank, team, IMAGES)
        _gather(pixels, index, (top, bottom), (0, inputs), scale, images)
        _gather(pixels, index, (0, top), seen, scale, images)
        _gather(pixels, index, (bottom, batch), seen, scale, images)
        # Others may still be at the last step's update.
        barrier(counter, team)
        source = images
        for i in range(layers):
            shape, code, w, bias = _layer(params, layout, i)
            columns = shape[2]
            if i > 0 and columns > 0 and layout[i - 1, 2] == 0:
                barrier(counter, team)
            output = _matrix(y, layout, i)
            _forward(code, source, w, shape, bias, output, batch, rank, team)
            if columns > 0:
                barrier(counter, team)
            source = output
        gradient = _matrix(dz, layout, layers - 1)
        loss, right = _loss(source, labels, index, shape[1], top, bottom, gradient)
        losses[rank, step - first] = loss
        hits[rank, 0] += right
        barrier(counter, team)
        for i in range(layers - 1, -1, -1):
            shape, code, w, bias = _layer(params, layout, i)
            gradient = _matrix(dz, layout, i)
            source = images
            if i > 0:
                source, below = _matrix(y, layout, i - 1), _matrix(dz, layout, i - 1)
                under = layout[i - 1, 3]
                _backward(under, gradient, w, shape, below, source, batch, rank, team)
                barrier(counter, team)
            _update(
                source, gradient, w, shape, bias, rate, keep, sums, batch, rank, team
            )
