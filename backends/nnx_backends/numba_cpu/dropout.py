"""Units left out at random; `nnx.maths.dropout` defines which ones."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from nnx.maths import dropout
from nnx.maths.dropout import HALVES
from nnx.maths.hyperparameters import Stream
from nnx_backends.numba_cpu import random_words
from nnx_backends.numba_cpu.cache import inner_njit
from nnx_backends.numba_cpu.elementary import LOOP, like
from nnx_backends.numba_cpu.kernel import Kernel
from nnx_backends.numba_cpu.random_words import COUNTERS, constant
from nnx_backends.numba_cpu.records import (
    inputs,
    matrix,
    of_units,
    own_inputs,
    own_outputs,
    pixel_parts,
    vector,
)
from nnx_backends.numba_cpu.vectors import broadcast

BLOCK = COUNTERS * HALVES
STREAM = int(Stream.DROPOUT)


@intrinsic
def _draw_block(typing, row, at, counter, image, draw, threshold):
    """Set row[at:at + BLOCK] to 1 for each unit that stays, and 0 for the others.

    counter, image, draw: as for `random_words.store_words`
    threshold: uint64, see `nnx.maths.dropout.threshold`
    """

    def generate(context, builder, signature, args):
        data = context.make_array(row)(context, builder, args[0]).data
        words = random_words.words(builder, *args[2:5])
        threshold = broadcast(builder, random_words.KIND, args[5])
        low, sixteen = constant(dropout.PARTS - 1), constant(16)
        halves = [
            part
            for word in words
            for part in (builder.and_(word, low), builder.lshr(word, sixteen))
        ]
        byte = ir.VectorType(ir.IntType(8), COUNTERS)
        for i, part in enumerate(halves):
            stays = builder.zext(builder.icmp_unsigned(">=", part, threshold), byte)
            first = builder.add(args[1], args[1].type(i * COUNTERS))
            place = builder.bitcast(builder.gep(data, [first]), byte.as_pointer())
            builder.store(stays, place, align=1)
        return context.get_dummy_value()

    n = types.uint64
    return types.void(row, n, n, n, draw, n), generate


@inner_njit()
def _threshold(rate):
    """Return the same as `nnx.maths.dropout.threshold`."""
    return np.rint(rate * dropout.PARTS)


@inner_njit()
def scale(rate, example):
    """Return the factor of the units that stay, in the example's type."""
    return like(dropout.PARTS / (dropout.PARTS - _threshold(rate)), example)


@inner_njit(fastmath=LOOP, error_model="numpy")
def _leave_out(y, part, rate, layer, run, step):
    """Set the units of a block that are left out to 0, and scale the others.

    y: a layer's inputs, or their gradient; part: the block of it
    rate: of units that are left out, float64; layer: its number
    """
    stream = np.uint64(STREAM) + (np.uint64(layer) << np.uint64(8))
    draw, threshold = random_words.draw(run, step, stream), np.uint64(_threshold(rate))
    own = run.masks + step.rank * run.masks_apart
    row, larger = vector(own, run.masks_apart, np.uint8(0)), scale(rate, y[0, 0])
    size, above = np.uint64(BLOCK), np.uint64(step.row)
    first = part.left // size * size
    last = (part.right + size - np.uint64(1)) // size * size
    for i in range(part.top, part.bottom):
        for b in range((last - first) // size):
            at = first + b * size
            counter = at // size * np.uint64(COUNTERS)
            _draw_block(row, at, counter, above + i, draw, threshold)
        for j in range(part.left, part.right):
            y[i, j] *= like(row[j], larger) * larger


def _leave_out_pixels(run, layer, step, hyper):
    """Leave out pixels, in the parts of the images that this thread reads."""
    x = inputs(run, layer, step)
    for part in pixel_parts(layer, step):
        _leave_out(x, part, hyper.input_dropout, layer.number, run, step)


def _leave_out_units(run, layer, step, hyper):
    """Leave out units of this thread's outputs of a layer."""
    y, part = of_units(run, layer, layer.y), own_outputs(layer, step)
    _leave_out(y, part, hyper.dropout, layer.number + 1, run, step)


def _leave_out_gradient(run, layer, step, hyper):
    """Leave out the same units of the gradient of a layer's inputs."""
    dx = matrix(layer.dx, layer.batch, layer.x_stride, run.one)
    _leave_out(dx, own_inputs(layer, step), hyper.dropout, layer.number, run, step)


PIXELS, UNITS = Kernel(_leave_out_pixels), Kernel(_leave_out_units)
GRADIENT = Kernel(_leave_out_gradient)
