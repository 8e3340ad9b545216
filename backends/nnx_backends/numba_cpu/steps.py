"""Many training steps in one compiled call, by a team of threads.

Every thread runs `train` with a rank of its own. Narrow layers are shared out by
images, wide ones by units, so that each thread's part of a wide weight stays in its
own cache. Between two barriers no thread writes what another reads.

Matrices are padded with zeros to whole tiles (`nnx_backends.numba_cpu.layout`), so
their shapes are at least what their names say.
"""

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from nnx.maths.hyperparameters import Stream
from nnx_backends.numba_cpu import activations, dropout, layers, optimizers
from nnx_backends.numba_cpu.activations import LOOP, block
from nnx_backends.numba_cpu.cache import cached_njit
from nnx_backends.numba_cpu.elementary import HALF, WORD, like, philox
from nnx_backends.numba_cpu.layers import GRAIN, IMAGES
from nnx_backends.numba_cpu.loss import cross_entropy
from nnx_backends.numba_cpu.team import barrier, partition

NOISE = np.uint64(Stream.NOISE)
AHEAD = np.uint64(3)  # images that are asked for before they are needed


class Options(NamedTuple):
    """What stays the same from step to step, and is no number of `layout.HYPER`.

    first_step: steps that the run took before these
    optimizer: its place in `optimizers.NAMES`
    plain_loss: whether the loss knows neither smoothing nor class weights
    class_weights: (classes,)
    """

    first_step: int
    batch_size: int
    optimizer: int
    seed: Any
    plain_loss: bool
    class_weights: Any


class Work(NamedTuple):
    """The team's memory beside the parameters.

    x: (team, rows, stride), a batch of images for each thread
    outputs, gradients: flat, of all layers; the loss's gradients are with respect to
        what goes into the activations
    sums: (team, narrow.UNITS, narrow.STRIP), for gradients
    mask: (team, whole blocks of units), uint8, for dropout
    losses: (team, steps), a sum for each step; correct: (team, padding), to add to
    """

    x: Any
    outputs: Any
    gradients: Any
    sums: Any
    mask: Any
    losses: Any
    correct: Any


class Step(NamedTuple):
    """A step, as one thread of the team sees it.

    number: how many the run took before; with the seed, what random draws depend on
    index: (batch,) int64, its images
    x, sums, mask: its own of the team's `Work`
    """

    number: int
    seed: Any
    index: Any
    x: Any
    sums: Any
    mask: Any


@cached_njit(nogil=True)
def train(team, images, order, hypers, options, layout, state, work):
    """Take a step for each of the losses, as one of a team.

    images: a `nnx.maths.state.Images`; order: (at most steps · batch_size,) int64
    hypers: records of `layout.HYPER`, each step's or one for all, which then need not
        come from memory each time; layout: (layers,) of `layout.PLACE`
    state: an `optimizers.State`
    """
    output = layout[len(layout) - 1]
    logits = layers.outputs(work.outputs, output)
    dlogits = layers.outputs(work.gradients, output)
    x, sums, mask = work.x[team.rank], work.sums[team.rank], work.mask[team.rank]
    for i in range(work.losses.shape[1]):
        hyper = hypers[min(i, len(hypers) - 1)]
        index = order[i * options.batch_size : (i + 1) * options.batch_size]
        step = Step(options.first_step + i, options.seed, index, x, sums, mask)
        optimizer = optimizers.at_step(hyper, options.optimizer, state)
        rows = partition(len(index), IMAGES, team)
        _gather_batch(images.pixels, layout[0], step, rows, hyper, team)
        # Others may still be at the last step's update.
        barrier(team)
        _forward(layout, state.parameters, work, step, hyper, team)
        smoothing = hyper.label_smoothing
        work.losses[team.rank, i], correct = cross_entropy(
            logits, images.labels, index, rows, smoothing, options, dlogits
        )
        work.correct[team.rank, 0] += correct
        barrier(team)
        _backward(layout, state.parameters, optimizer, work, step, hyper, team)
        if hyper.max_norm > 0:
            barrier(team)
            for place in layout:
                layers.bound_narrow_norms(
                    place, state.parameters, optimizer.max_norm, team
                )
        if len(state.ema) > 0:
            barrier(team)
            part = partition(len(state.ema), GRAIN, team)
            optimizers.moving_average(state, part, hyper.ema_decay)


@njit(nogil=True)
def _forward(layout, parameters, work, step, hyper, team):
    """Set all layers' outputs, as one of a team."""
    x, batch = step.x, len(step.index)
    for i in range(len(layout)):
        place = layout[i]
        if i > 0 and not layers.is_narrow(place) and layers.is_narrow(layout[i - 1]):
            barrier(team)
        y = layers.outputs(work.outputs, place)
        part = layers.forward(place, parameters, x, y, batch, team)
        if i < len(layout) - 1:
            dropout.leave_out(y, part, hyper.dropout, i + 1, step)
        if not layers.is_narrow(place):
            barrier(team)
        x = y


@njit(nogil=True)
def _backward(layout, parameters, optimizer, work, step, hyper, team):
    """Update all layers from the logits' gradient, as one of a team."""
    batch = len(step.index)
    # The outputs are there as dropout has made them larger.
    one = like(1.0, parameters[0])
    smaller = one / dropout.scale(hyper.dropout, one)
    for i in range(len(layout) - 1, -1, -1):
        place, x = layout[i], step.x
        dz = layers.outputs(work.gradients, place)
        if i > 0:
            before = layout[i - 1]
            x = layers.outputs(work.outputs, before)
            dx = layers.outputs(work.gradients, before)
            part = layers.backward(place, parameters, dz, dx, batch, team)
            dropout.leave_out(dx, part, hyper.dropout, i, step)
            activations.backward(before.activation, dx, x, part, smaller)
            barrier(team)
        layers.update(place, parameters, optimizer, x, dz, step, team)


@njit(nogil=True)
def _gather_batch(pixels, first, step, rows, hyper, team):
    """Set what this thread reads of the batch's images.

    first: the first layer's place; rows: of the batch, this thread's
    """
    batch = len(step.index)
    every = (0, first.inputs)
    # What the update needs of images whose outputs are other threads' to compute.
    others = partition(first.inputs, GRAIN, team) if layers.is_narrow(first) else every
    _gather(pixels, step, rows, every, hyper)
    _gather(pixels, step, (0, rows[0]), others, hyper)
    _gather(pixels, step, (rows[1], batch), others, hyper)


@njit(nogil=True)
def _gather(pixels, step, rows, columns, hyper):
    """Set a block of the batch's images, as the network is given them."""
    _copy(pixels, step, rows, columns, like(hyper.pixel_scale, step.x[0, 0]))
    part = block(rows, columns)
    if hyper.input_noise > 0:
        _add_noise(step, part, hyper.input_noise * hyper.pixel_range)
    dropout.leave_out(step.x, part, hyper.input_dropout, 0, step)


@njit(nogil=True, error_model="numpy")
def _add_noise(step, part, deviation):
    """Add noise to a block of images; see `nnx.maths.steps.input_noise`."""
    x, four = step.x, np.uint64(4)
    number, low, high = (
        np.uint64(step.number) & WORD,
        step.seed & WORD,
        step.seed >> HALF,
    )
    last = (part.right + four - np.uint64(1)) // four
    for i in range(part.top, part.bottom):
        for j in range(part.left // four, last):
            words = philox(j, i, number, NOISE, low, high)
            for pair in range(np.uint64(2)):
                first, second = words[2 * pair], words[2 * pair + 1]
                radius = deviation * np.sqrt(-2.0 * np.log((first + 0.5) * 2.0**-32))
                angle = 2.0 * np.pi * ((second + 0.5) * 2.0**-32)
                k = j * four + np.uint64(2) * pair
                if part.left <= k < part.right:
                    x[i, k] += like(radius * np.cos(angle), x[0, 0])
                k += np.uint64(1)
                if part.left <= k < part.right:
                    x[i, k] += like(radius * np.sin(angle), x[0, 0])


@njit(nogil=True, fastmath=LOOP, error_model="numpy")
def _copy(pixels, step, rows, columns, scale):
    """Set a block of the batch's images to their pixels, scaled.

    They lie anywhere in memory, so the ones after the next few are asked for early.
    """
    x, index = step.x, step.index
    bottom, right = np.uint64(rows[1]), np.uint64(columns[1])
    for i in range(np.uint64(rows[0]), bottom):
        image = index[i]
        if i + AHEAD < bottom:
            _prefetch(pixels, index[i + AHEAD], columns)
        for k in range(np.uint64(columns[0]), right):
            x[i, k] = like(pixels[image, k], scale) * scale


@njit(nogil=True)
def _prefetch(pixels, i, columns):
    """Ask for columns of row i of a contiguous matrix, line by line."""
    line = 64 // pixels.itemsize
    for k in range(columns[0], columns[1], line):
        _prefetch_line(pixels, i * pixels.shape[1] + k)


@intrinsic
def _prefetch_line(typing, array, place):
    """Ask for the cache line that holds an element of a flat index."""

    def generate(context, builder, signature, args):
        data = context.make_array(array)(context, builder, args[0]).data
        address = builder.gep(data, [args[1]])
        i32 = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [address.type, i32, i32, i32])
        name = "llvm.prefetch.p0"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        # For reading, to be kept in every cache, as data.
        builder.call(function, [address, i32(0), i32(3), i32(1)])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate
