"""Exponential, tanh and random words, which the compiler turns into vector code.

exp(x) = 2ⁿ exp(r), |r| ≤ ln(2)/2, with a Taylor polynomial for exp(r) - 1 that is right
to the last digits: degree 7 for float32, 13 for float64. ln(2) is taken off in two
parts (Cody and Waite, "Software manual for the elementary functions", 1980). A NaN
stays one.
"""

import math

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from nnx.maths import random

# No flag that lets the compiler assume there is no NaN: a diverged loss must show.
LOOP = {"contract", "reassoc", "nsz"}
# Without reassociation, which would join the two parts of ln(2).
EXACT = {"contract"}
LOG2_E = 1 / math.log(2)
WORD, HALF = np.uint64(random.WORD), np.uint64(32)
LEFT, RIGHT = map(np.uint64, random.MULTIPLIERS)
KEY_LEFT, KEY_RIGHT = map(np.uint64, random.KEY_STEPS)
FACTORIALS = tuple(1 / math.factorial(k) for k in range(14))


@intrinsic
def like(typing, value, example):
    """Return a number in the type of the example; Python's literals are float64."""

    def generate(context, builder, signature, args):
        return context.cast(builder, args[0], value, example)

    return example(value, example), generate


@intrinsic
def _is_single(typing, example):
    """Return whether the example is float32, as a constant."""

    def generate(context, builder, signature, args):
        return context.get_constant(types.boolean, example == types.float32)

    return types.boolean(example), generate


@intrinsic
def _power_of_two(typing, n):
    """Return 2ⁿ for a whole n that its type can hold, by setting the exponent."""
    integer, bias, mantissa = types.int64, 1023, 52
    if n == types.float32:
        integer, bias, mantissa = types.int32, 127, 23

    def generate(context, builder, signature, args):
        bits = builder.fptosi(args[0], context.get_value_type(integer))
        biased = builder.add(bits, bits.type(bias))
        shifted = builder.shl(biased, bits.type(mantissa))
        return builder.bitcast(shifted, context.get_value_type(n))

    return n(n), generate


@njit(nogil=True, fastmath=EXACT, error_model="numpy")
def _parts(x):
    """Return exp(r) - 1 and 2ⁿ."""
    single = _is_single(x)
    low, high = (-87.0, 88.0) if single else (-708.0, 709.0)
    x = like(low, x) if x < like(low, x) else x
    x = like(high, x) if x > like(high, x) else x
    n = np.floor(x * like(LOG2_E, x) + like(0.5, x))
    # The first part has few enough bits that n times it is exact.
    first, second = (
        (0.693359375, -2.12194440054690583e-4)
        if single
        else (0.693145751953125, 1.42860682030941723e-6)
    )
    r = (x - n * like(first, x)) - n * like(second, x)
    p = like(FACTORIALS[7], x)
    if not single:
        p = like(FACTORIALS[13], x)
        p = p * r + like(FACTORIALS[12], x)
        p = p * r + like(FACTORIALS[11], x)
        p = p * r + like(FACTORIALS[10], x)
        p = p * r + like(FACTORIALS[9], x)
        p = p * r + like(FACTORIALS[8], x)
        p = p * r + like(FACTORIALS[7], x)
    p = p * r + like(FACTORIALS[6], x)
    p = p * r + like(FACTORIALS[5], x)
    p = p * r + like(FACTORIALS[4], x)
    p = p * r + like(FACTORIALS[3], x)
    p = p * r + like(FACTORIALS[2], x)
    return p * (r * r) + r, _power_of_two(n)


@njit(nogil=True, fastmath=EXACT, error_model="numpy")
def exp(x):
    """Return the exponential, held to the range of normal numbers."""
    p, power = _parts(x)
    return power * p + power


@njit(nogil=True, fastmath=EXACT, error_model="numpy")
def expm1(x):
    """Return exp(x) - 1, exact near 0 too."""
    p, power = _parts(x)
    return power * p + (power - like(1.0, x))


@njit(nogil=True, fastmath=EXACT, error_model="numpy")
def tanh(x):
    """Return the hyperbolic tangent, (exp(2x) - 1) / (exp(2x) + 1)."""
    e = expm1(x + x)
    return e / (e + like(2.0, x))


@njit(nogil=True, error_model="numpy")
def philox(a, b, c, d, k0, k1):
    """Return four random words; see `nnx.maths.random.philox`."""
    for _ in range(random.ROUNDS):
        left, right = a * LEFT, c * RIGHT
        a, c = (right >> HALF) ^ b ^ k0, (left >> HALF) ^ d ^ k1
        b, d = right & WORD, left & WORD
        k0, k1 = (k0 + KEY_LEFT) & WORD, (k1 + KEY_RIGHT) & WORD
    return a, b, c, d
