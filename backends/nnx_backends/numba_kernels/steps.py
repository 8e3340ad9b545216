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
    passes,
)
from nnx_backends.numba_kernels.activations import LOOP, block
from nnx_backends.numba_kernels.elementary import like
from nnx_backends.numba_kernels.kept import kept
from nnx_backends.numba_kernels.optimizers import Numbers
from nnx_backends.numba_kernels.passes import GRAIN, IMAGES
from nnx_backends.numba_kernels.team import barrier, prefetch, share

# Up to so many units a layer is narrow. Measured; see docs/performance.md.
NARROW = 32
AHEAD = np.uint64(3)  # images that are asked for before they are needed


class Options(NamedTuple):
    """What a run's steps do; see `nnx.maths.steps.Recipe` for what is not here.

    code: the optimizer's place in `optimizers.NAMES`
    square_rest: 1 - beta2
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
    square_rest: Any
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
def _copy(pixels: Any, index: Any, rows: Any, columns: Any, scale: Any, x: Any) -> None:
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
    pixels, index, scale, x, (options, number, row) = gathered
    _copy(pixels, index, rows, columns, scale, x)
    if options.pixels_least > 0:
        draw = dropout.draw(
            options.pixels_least, number, options.stream, 0, options.seed
        )
        bounds = block(rows[0], rows[1], columns[0], columns[1])
        dropout.leave_out(x, bounds, draw, options.pixels_scale, row)


@njit(nogil=True)
def _numbers(rates: Any, options: Any) -> Any:
    """Return what a step does to weights; rates: as `nnx.maths.optimizers.Rates`."""
    real = options.l1
    return Numbers(
        options.code, like(rates[0], real), like(rates[1], real), like(rates[2], real),
        like(rates[3], real), options.beta2, like(1.0 - rates[1], real),
        options.square_rest, like(1.0 - rates[0] * options.weight_decay, real),
        options.l1, options.l2,
    )  # fmt: skip


@njit(nogil=True)
def _forward(
    params: Any, layout: Any, images: Any, y: Any, batch: int, dropped: Any, me: Any
) -> None:
    """Set y, all layers' outputs, as one of a team.

    dropped: the options, the step's number, and a row for dropout's use
    me: rank, team and counter, see `train`
    """
    options, number, row = dropped
    rank, team, counter = me
    source = images
    for i in range(len(layout)):
        shape, code, w, bias = passes.layer(params, layout, i)
        columns = shape[2]
        if i > 0 and columns > 0 and layout[i - 1, 2] == 0:
            barrier(counter, team)
        output = passes.matrix(y, layout, i)
        bounds = passes.forward(code, source, w, shape, bias, output, batch, rank, team)
        if i < len(layout) - 1:
            _leave_units_out(output, bounds, i + 1, options, number, row)
        if columns > 0:
            barrier(counter, team)
        source = output


@njit(nogil=True)
def _backward(
    params: Any, slots: Any, layout: Any, images: Any, y: Any, dz: Any, batch: int,
    numbers: Any, sums: Any, dropped: Any, me: Any,
) -> None:  # fmt: skip
    """Update all layers from dz, the last one's, as one of a team; see `_forward`."""
    options, number, row = dropped
    rank, team, counter = me
    one = like(1.0, numbers.rate)
    for i in range(len(layout) - 1, -1, -1):
        shape, _, w, _ = passes.layer(params, layout, i)
        gradient, source = passes.matrix(dz, layout, i), images
        if i > 0:
            source = passes.matrix(y, layout, i - 1)
            below = passes.matrix(dz, layout, i - 1)
            bounds = passes.backward(gradient, w, shape, below, batch, rank, team)
            _leave_units_out(below, bounds, i, options, number, row)
            # The outputs are there as dropout has made them larger.
            share_kept = one / options.units_scale
            activations.backward(layout[i - 1, 3], below, source, bounds, share_kept)
            barrier(counter, team)
        passes.update(
            source, gradient, params, slots, layout[i, :6], numbers, options.stored,
            options.max_norm, sums, batch, rank, team,
        )  # fmt: skip


@njit(nogil=True)
def _leave_units_out(
    y: Any, bounds: Any, layer: int, options: Any, number: int, row: Any
) -> None:
    """Apply dropout to a block of a layer's inputs, or of their gradient."""
    if options.units_least > 0:
        draw = dropout.draw(
            options.units_least, number, options.stream, layer, options.seed
        )
        dropout.leave_out(y, bounds, draw, options.units_scale, row)


@kept(nogil=True)
def train(
    rank: int, team: int, counter: Any, pixels: Any, labels: Any, order: Any,
    first: int, last: int, batch_size: int, scale: Any, rates: Any, options: Any,
    class_weights: Any, layout: Any, params: Any, slots: Any, averages: Any, x: Any,
    y: Any, dz: Any, losses: Any, hits: Any,
) -> None:  # fmt: skip
    """Train on the steps first … last - 1, as one of a team.

    counter: (1,) int64, zero
    rates: (last - first, 5) float64, see `nnx.maths.optimizers.Rates`
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
    me = rank, team, counter
    output, gradient = (
        passes.matrix(y, layout, layers - 1),
        passes.matrix(dz, layout, layers - 1),
    )
    classes = layout[layers - 1, 1]
    for step in range(first, last):
        index = order[step * batch_size : (step + 1) * batch_size]
        batch, dropped = len(index), (options, options.before + step, row)
        top, bottom = share(batch, rank, team, IMAGES)
        gathered = pixels, index, scale, images, dropped
        _gather(gathered, (top, bottom), (0, inputs))
        _gather(gathered, (0, top), seen)
        _gather(gathered, (bottom, batch), seen)
        # Others may still be at the last step's update.
        barrier(counter, team)
        _forward(params, layout, images, y, batch, dropped, me)
        losses[rank, step - first], right = loss.either(
            output, labels, index, classes, top, bottom, gradient, options.plain,
            options.smoothing, class_weights,
        )  # fmt: skip
        hits[rank, 0] += right
        barrier(counter, team)
        numbers = _numbers(rates[step - first], options)
        _backward(
            params, slots, layout, images, y, dz, batch, numbers, sums, dropped, me
        )
        if options.max_norm > like(0.0, scale):
            barrier(counter, team)
            passes.bound_narrow(params, layout, options.max_norm, rank, team)
        if options.averaged:
            barrier(counter, team)
            begin, end = share(len(params), rank, team, GRAIN)
            keep = rates[step - first, 4]
            optimizers.average(
                averages, params, begin, end, like(keep, scale), like(1.0 - keep, scale)
            )
