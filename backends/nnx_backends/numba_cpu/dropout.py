"""Units left out at random; which ones is `nnx.maths.dropout`'s to say."""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from nnx.maths import dropout, random
from nnx.maths.dropout import COUNTERS, HALVES
from nnx.maths.hyperparameters import Stream
from nnx_backends.numba_cpu.elementary import HALF, LOOP, WORD, like
from nnx_backends.numba_cpu.kernel import Kernel
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
_KIND = ir.VectorType(ir.IntType(64), COUNTERS)


def _words(builder, a, image, draw):
    """Return the four words of sixteen counters, as `nnx.maths.random.philox` has them.

    a: a vector of the counters; image: one number; draw: see `_draw_block`
    """
    _, step, stream, *keys = (broadcast(builder, _KIND, number) for number in draw)
    b, c, d = broadcast(builder, _KIND, image), step, stream
    word, half = _constant(random.WORD), _constant(32)
    left, right = map(_constant, random.MULTIPLIERS)
    for _ in range(random.ROUNDS):
        x, y = builder.mul(a, left), builder.mul(c, right)
        a = builder.xor(builder.xor(builder.lshr(y, half), b), keys[0])
        c = builder.xor(builder.xor(builder.lshr(x, half), d), keys[1])
        b, d = builder.and_(y, word), builder.and_(x, word)
        keys = [
            builder.and_(builder.add(key, _constant(step)), word)
            for key, step in zip(keys, random.KEY_STEPS, strict=True)
        ]
    return [a, b, c, d]


def _constant(number):
    return ir.Constant(_KIND, [number] * COUNTERS)


@intrinsic
def _draw_block(typing, row, at, counter, image, draw):
    """Set row[at:at + BLOCK] to 1 for each unit that stays, and 0 for the others.

    Sixteen counters at once, by LLVM's vectors: left to itself the compiler multiplies
    64-bit numbers one by one, which takes eight times as long.

    counter: the first of the block's
    draw: threshold, step, stream and the key's two words, uint64
    """

    def generate(context, builder, signature, args):
        numbers = [builder.extract_value(args[4], i) for i in range(len(draw))]
        threshold = broadcast(builder, _KIND, numbers[0])
        counters = ir.Constant(_KIND, list(range(COUNTERS)))
        counters = builder.add(broadcast(builder, _KIND, args[2]), counters)
        words = _words(builder, counters, args[3], numbers)
        data = context.make_array(row)(context, builder, args[0]).data
        low, sixteen = _constant(dropout.PARTS - 1), _constant(16)
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
    return types.void(row, n, n, n, draw), generate


@njit(nogil=True)
def _threshold(rate):
    """Return the same as `nnx.maths.dropout.threshold`."""
    return np.rint(rate * dropout.PARTS)


@njit(nogil=True)
def scale(rate, example):
    """Return what units that stay are multiplied by, in the example's type."""
    return like(dropout.PARTS / (dropout.PARTS - _threshold(rate)), example)


@njit(nogil=True, fastmath=LOOP, error_model="numpy")
def _leave_out(y, part, rate, layer, run, step):
    """Set the units of a block that are left out to 0, and scale the others.

    y: a layer's inputs, or their gradient; part: the block of it
    rate: of units that are left out, float64; layer: its number
    """
    draw = (
        np.uint64(_threshold(rate)),
        np.uint64(step.number) & WORD,
        np.uint64(STREAM) + (np.uint64(layer) << np.uint64(8)),
        run.seed & WORD,
        run.seed >> HALF,
    )
    own = run.masks + step.rank * run.masks_apart
    row, larger = vector(own, run.masks_apart, np.uint8(0)), scale(rate, y[0, 0])
    size, above = np.uint64(BLOCK), np.uint64(step.row)
    first = part.left // size * size
    last = (part.right + size - np.uint64(1)) // size * size
    for i in range(part.top, part.bottom):
        for b in range((last - first) // size):
            at = first + b * size
            _draw_block(row, at, at // size * np.uint64(COUNTERS), above + i, draw)
        for j in range(part.left, part.right):
            y[i, j] *= like(row[j], larger) * larger


def _leave_out_pixels(run, layer, step, hyper):
    """Leave out pixels of what this thread reads of the images."""
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
