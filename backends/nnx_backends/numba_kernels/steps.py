"""Many training steps in one compiled call, by a team of threads.

Every thread runs `train` with a rank of its own. Narrow layers are shared out by
images, wide ones by units, so that each thread's part of a wide weight stays in its
own cache. Between two barriers no thread writes what another reads.

Matrices are padded with zeros to whole tiles (`nnx_backends.numba_layout`), so their
shapes are at least what their names say.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from nnx_backends.numba_kernels import (
    activations,
    dropout,
    loss,
    narrow,
    optimizers,
    wide,
)
from nnx_backends.numba_kernels.activations import LOOP, block
from nnx_backends.numba_kernels.elementary import like
from nnx_backends.numba_kernels.kept import kept
from nnx_backends.numba_kernels.optimizers import Numbers
from nnx_backends.numba_kernels.team import barrier, prefetch, share

# Up to so many units a layer is narrow. Measured; see docs/performance.md.
NARROW = 32
GRAIN = 16  # units: a cache line of float32
IMAGES = 4  # images: the height of a tile
AHEAD = np.uint64(3)  # images that are asked for before they are needed


class Options(NamedTuple):
    """What a run's steps do; see `nnx.maths.steps.Recipe` for what is not here.

    code: the optimizer's place in `optimizers.NAMES`
    stored: whether the optimizer needs gradients, and they are not only taken off
    pixels_least, units_least: of dropout, see `nnx.maths.dropout.threshold`
    pixels_scale, units_scale: what the units that stay are multiplied by
    before: steps of the run before this epoch's first
    plain: whether the loss knows neither smoothing nor weights
    averaged: whether a moving average of the parameters is kept
    """

    code: int
    stored: bool
    beta2: Any
    l1: Any
    l2: Any
    weight_decay: Any
    max_norm: Any
    pixels_least: int
    units_least: int
    pixels_scale: Any
    units_scale: Any
    stream: int
    seed: Any
    before: int
    plain: bool
    smoothing: Any
    averaged: bool


@njit(nogil=True, fastmath=LOOP, error_model="numpy")
def _copy(
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


@njit(nogil=True)
def _gather(gathered: Any, rows: Any, columns: Any) -> None:
    """Set a block of a thread's images, with the pixels left out that dropout does."""
    pixels, index, scale, x, row, options, number = gathered
    _copy(pixels, index, rows, columns, scale, x)
    if options.pixels_least > 0:
        draw = dropout.draw(
            options.pixels_least, number, options.stream, 0, options.seed
        )
        bounds = block(rows[0], rows[1], columns[0], columns[1])
        dropout.leave_out(x, bounds, draw, options.pixels_scale, row)


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
def _forward(
    code: int, x: Any, flat: Any, shape: Any, bias: Any, y: Any, batch: int, rank: int,
    team: int,
) -> Any:  # fmt: skip
    """Set this thread's share of y, (batch, m), from x, (batch, n); return its bounds."""
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
def _backward(
    dz: Any, flat: Any, shape: Any, dx: Any, batch: int, rank: int, team: int
) -> Any:
    """Set this thread's share of dx, (batch, n), from dz, (batch, m); return its bounds."""
    n, m, columns = shape
    if columns == 0:
        top, bottom = share(batch, rank, team, IMAGES)
        narrow.input_gradient(dz, flat.reshape((m, n)), dx, top, bottom)
        return block(top, bottom, 0, n)
    first, last = share(n, rank, team, GRAIN)
    wide.input_gradient(dz, _panels(flat, n, columns), dx, batch, first, last)
    return block(0, batch, first, last)


@njit(nogil=True)
def _update(
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
        numbers.square_scale, numbers.beta2, one, zero, zero,
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


@njit(nogil=True)
def _bound_narrow(
    params: Any, layout: Any, most: Any, rank: int, team: int
) -> None:
    """Bound the weights of narrow layers' units, which several threads have updated."""
    for i in range(len(layout)):
        shape, _, flat, _ = _layer(params, layout, i)
        n, m, columns = shape
        if columns == 0:
            top, bottom = share(m, rank, team, 1)
            narrow.bound(flat.reshape((m, n)), top, bottom, most)


@njit(nogil=True)
def _numbers(rates: Any, options: Any) -> Any:
    """Return what a step does to weights; rates: as `nnx.maths.optimizers.Rates`."""
    one = like(1.0, rates[0])
    return Numbers(
        options.code, rates[0], rates[1], rates[2], rates[3], options.beta2,
        one - rates[0] * options.weight_decay, options.l1, options.l2,
    )  # fmt: skip


@kept(nogil=True)
def train(
    rank: int, team: int, counter: Any, pixels: Any, labels: Any, order: Any,
    first: int, last: int, batch_size: int, scale: Any, rates: Any, options: Any,
    class_weights: Any, layout: Any, params: Any, slots: Any, averages: Any, x: Any,
    y: Any, dz: Any, losses: Any, hits: Any,
) -> None:  # fmt: skip
    """Train on the steps first … last - 1, as one of a team.

    counter: (1,) int64, zero
    rates: (last - first, 5), see `nnx.maths.optimizers.Rates`
    class_weights: (classes,)
    layout: (layers, 9), see `nnx_backends.numba_layout.Place`
    params, averages, y, dz: flat; y and dz are the layers' outputs and the loss's
        gradients with respect to what goes into their activations
    slots: (count of slots, len(params))
    x: (team, rows, stride), a batch of images for each thread
    losses: (team, last - first), for each step; hits: (team, padding), to add to
    """
    layers, inputs = len(layout), layout[0, 0]
    images = x[rank]
    # What the update needs of images whose outputs are other threads' to find.
    seen = (0, inputs) if layout[0, 2] > 0 else share(inputs, rank, team, GRAIN)
    sums = np.empty((NARROW, narrow.STRIP), x.dtype)
    widest = max(layout[:, 0].max(), layout[:, 1].max())
    row = np.empty(widest // dropout.BLOCK * dropout.BLOCK + dropout.BLOCK, np.uint8)
    one, zero = like(1.0, scale), like(0.0, scale)
    dropping, share_kept = options.units_least > 0, one / options.units_scale
    for step in range(first, last):
        number = options.before + step
        index = order[step * batch_size : (step + 1) * batch_size]
        batch = len(index)
        top, bottom = share(batch, rank, team, IMAGES)
        whole = (0, inputs)
        gathered = pixels, index, scale, images, row, options, number
        _gather(gathered, (top, bottom), whole)
        _gather(gathered, (0, top), seen)
        _gather(gathered, (bottom, batch), seen)
        # Others may still be at the last step's update.
        barrier(counter, team)
        source = images
        for i in range(layers):
            shape, code, w, bias = _layer(params, layout, i)
            columns = shape[2]
            if i > 0 and columns > 0 and layout[i - 1, 2] == 0:
                barrier(counter, team)
            output = _matrix(y, layout, i)
            bounds = _forward(code, source, w, shape, bias, output, batch, rank, team)
            if dropping and i < layers - 1:
                draw = dropout.draw(
                    options.units_least, number, options.stream, i + 1, options.seed
                )
                dropout.leave_out(output, bounds, draw, options.units_scale, row)
            if columns > 0:
                barrier(counter, team)
            source = output
        gradient, classes = _matrix(dz, layout, layers - 1), layout[layers - 1, 1]
        if options.plain:
            total, right = loss.plain(
                source, labels, index, classes, top, bottom, gradient
            )
        else:
            total, right = loss.weighted(
                source, labels, index, classes, top, bottom, gradient,
                options.smoothing, class_weights,
            )  # fmt: skip
        losses[rank, step - first] = total
        hits[rank, 0] += right
        barrier(counter, team)
        numbers = _numbers(rates[step - first], options)
        for i in range(layers - 1, -1, -1):
            shape, code, w, bias = _layer(params, layout, i)
            gradient = _matrix(dz, layout, i)
            source = images
            if i > 0:
                source, below = _matrix(y, layout, i - 1), _matrix(dz, layout, i - 1)
                bounds = _backward(gradient, w, shape, below, batch, rank, team)
                if dropping:
                    draw = dropout.draw(
                        options.units_least, number, options.stream, i, options.seed
                    )
                    dropout.leave_out(below, bounds, draw, options.units_scale, row)
                activations.backward(layout[i - 1, 3], below, source, bounds, share_kept)
                barrier(counter, team)
            _update(
                source, gradient, params, slots, layout[i, :6], numbers, options.stored,
                options.max_norm, sums, batch, rank, team,
            )  # fmt: skip
        if options.max_norm > zero:
            barrier(counter, team)
            _bound_narrow(params, layout, options.max_norm, rank, team)
        if options.averaged:
            barrier(counter, team)
            begin, end = share(len(params), rank, team, GRAIN)
            optimizers.average(averages, params, begin, end, rates[step - first, 4])
