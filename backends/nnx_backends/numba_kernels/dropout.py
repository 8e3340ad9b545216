"""Units left out at random; which ones is `nnx.maths.dropout`'s to say."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from nnx.maths import dropout, random
from nnx.maths.dropout import COUNTERS, HALVES
from nnx_backends.numba_kernels.activations import LOOP
from nnx_backends.numba_kernels.elementary import like
from nnx_backends.numba_kernels.philox import HALF, WORD

BLOCK = COUNTERS * HALVES


@intrinsic
def _draw_block(
    typing: Any, row: Any, at: Any, counter: Any, image: Any, step: Any, stream: Any,
    k0: Any, k1: Any, least: Any,
) -> Any:  # fmt: skip
    """Set row[at:at + BLOCK] to 1 for each unit that stays, and 0 for the others.

    Sixteen counters at once, by LLVM's vectors: left to itself the compiler multiplies
    64-bit numbers one by one, which takes eight times as long.

    counter: the first of the block's
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.VectorType(ir.IntType(64), COUNTERS)

        def same(number: Any) -> Any:
            empty = ir.Constant(kind, ir.Undefined)
            one = builder.insert_element(empty, number, ir.IntType(32)(0))
            zeros = ir.Constant(ir.VectorType(ir.IntType(32), COUNTERS), None)
            return builder.shuffle_vector(one, empty, zeros)

        def constant(number: int) -> Any:
            return ir.Constant(kind, [number] * COUNTERS)

        word, half = constant(random.WORD), constant(32)
        left, right = map(constant, random.MULTIPLIERS)
        a, b, c, d, k0, k1, least = map(same, args[2:])
        a = builder.add(a, ir.Constant(kind, list(range(COUNTERS))))
        for _ in range(random.ROUNDS):
            x, y = builder.mul(a, left), builder.mul(c, right)
            a = builder.xor(builder.xor(builder.lshr(y, half), b), k0)
            c = builder.xor(builder.xor(builder.lshr(x, half), d), k1)
            b, d = builder.and_(y, word), builder.and_(x, word)
            k0, k1 = (
                builder.and_(builder.add(key, constant(step)), word)
                for key, step in zip((k0, k1), random.KEY_STEPS, strict=True)
            )
        data = context.make_array(row)(context, builder, args[0]).data
        low, sixteen = constant(dropout.PARTS - 1), constant(16)
        halves = [
            part
            for w in (a, b, c, d)
            for part in (builder.and_(w, low), builder.lshr(w, sixteen))
        ]
        byte = ir.VectorType(ir.IntType(8), COUNTERS)
        for i, part in enumerate(halves):
            stays = builder.zext(builder.icmp_unsigned(">=", part, least), byte)
            place = builder.gep(
                data, [builder.add(args[1], args[1].type(i * COUNTERS))]
            )
            builder.store(stays, builder.bitcast(place, byte.as_pointer()), align=1)
        return context.get_dummy_value()

    n = types.uint64
    return types.void(row, n, n, n, n, n, n, n, n), generate


@njit(nogil=True, error_model="numpy")
def draw(least: int, number: int, stream: int, layer: int, seed: Any) -> Any:
    """Return what `leave_out` draws with, for a layer's inputs in a step.

    seed: an unsigned integer
    """
    return (
        np.uint64(least), np.uint64(number) & WORD,
        np.uint64(stream) + (np.uint64(layer) << np.uint64(8)), seed & WORD,
        seed >> HALF,
    )  # fmt: skip


@njit(nogil=True, fastmath=LOOP, error_model="numpy")
def leave_out(y: Any, bounds: Any, draw: Any, scale: Any, row: Any) -> None:
    """Set the units of a block that are left out to 0, and scale the others.

    bounds: see `activations`; scale: 1 / (1 - rate)
    row: (whole blocks of units,) uint8, for use here
    """
    top, bottom, left, right = bounds
    block = np.uint64(BLOCK)
    first, last = left // block * block, (right + block - np.uint64(1)) // block * block
    least, step, stream, k0, k1 = draw
    counters, blocks = np.uint64(COUNTERS), (last - first) // block
    for i in range(top, bottom):
        for b in range(blocks):
            at = first + b * block
            counter = at // block * counters
            _draw_block(row, at, counter, i, step, stream, k0, k1, least)
        for j in range(left, right):
            y[i, j] *= like(row[j], scale) * scale
