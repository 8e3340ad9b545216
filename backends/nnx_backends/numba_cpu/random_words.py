"""The random words of `nnx.maths.random.philox`, for sixteen counters at once.

The code uses LLVM's vectors explicitly: left to itself, the compiler multiplies 64-bit
numbers one by one, which takes eight times as long.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from nnx.maths import random
from nnx_backends.numba_cpu.cache import inner_njit
from nnx_backends.numba_cpu.elementary import HALF, WORD
from nnx_backends.numba_cpu.vectors import broadcast

COUNTERS = 16
KIND = ir.VectorType(ir.IntType(64), COUNTERS)


@inner_njit()
def draw(run, step, stream):
    """Return what a step's words depend on besides counter and image, four uint64.

    They are the step, the stream, and the key's two words.
    """
    number = np.uint64(step.number) & WORD
    return number, np.uint64(stream), run.seed & WORD, run.seed >> HALF


def words(builder: Any, first: Any, image: Any, draw: Any) -> list[Any]:
    """Return four vectors, one for each of the four words of sixteen counters.

    first: the first counter; image: its number or place; draw: see the function `draw`
    """
    numbers = [builder.extract_value(draw, i) for i in range(4)]
    b, c, d, *keys = (broadcast(builder, KIND, x) for x in (image, *numbers))
    a = ir.Constant(KIND, list(range(COUNTERS)))
    a = builder.add(broadcast(builder, KIND, first), a)
    word, half = constant(random.WORD), constant(32)
    left, right = map(constant, random.MULTIPLIERS)
    for _ in range(random.ROUNDS):
        x, y = builder.mul(a, left), builder.mul(c, right)
        a = builder.xor(builder.xor(builder.lshr(y, half), b), keys[0])
        c = builder.xor(builder.xor(builder.lshr(x, half), d), keys[1])
        b, d = builder.and_(y, word), builder.and_(x, word)
        keys = [
            builder.and_(builder.add(key, constant(step)), word)
            for key, step in zip(keys, random.KEY_STEPS, strict=True)
        ]
    return [a, b, c, d]


def constant(number: int) -> Any:
    """Return a vector that repeats a number."""
    return ir.Constant(KIND, [number] * COUNTERS)


@intrinsic
def store_words(typing, out, counter, image, draw):
    """Set out[0:64] to the words of sixteen counters.

    out: uint32; first the sixteen counters' first words, then their second ones, …
    counter: the first one; image: its number or place; draw: see the function `draw`
    """

    def generate(context, builder, signature, args):
        data = context.make_array(out)(context, builder, args[0]).data
        kind = ir.VectorType(ir.IntType(32), COUNTERS)
        for i, word in enumerate(words(builder, *args[1:])):
            place = builder.gep(data, [ir.IntType(64)(i * COUNTERS)])
            place = builder.bitcast(place, kind.as_pointer())
            builder.store(builder.trunc(word, kind), place, align=4)
        return context.get_dummy_value()

    n = types.uint64
    return types.void(out, n, n, draw), generate
