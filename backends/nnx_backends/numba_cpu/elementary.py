"""Elementary functions and random words, written so that the compiler vectorizes them.

exp(x) = 2ⁿ exp(r), |r| ≤ ln(2)/2, with a Taylor polynomial for exp(r) - 1 that is
accurate to the last digits: degree 7 for float32, 13 for float64. n ln(2) is subtracted
in two parts (Cody and Waite, "Software manual for the elementary functions", 1980). NaN
stays NaN. The other functions are Taylor polynomials too, in float64.
"""

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from nnx.maths import random
from nnx_backends.numba_cpu.cache import inner_njit

# No flag that lets the compiler assume there is no NaN: a diverged loss must show.
LOOP = {"contract", "reassoc", "nsz"}
# Without reassociation, which would join the two parts of ln(2).
EXACT = {"contract"}
LOG2_E = 1 / math.log(2)
WORD, HALF = np.uint64(random.WORD), np.uint64(32)
LEFT, RIGHT = map(np.uint64, random.MULTIPLIERS)
KEY_LEFT, KEY_RIGHT = map(np.uint64, random.KEY_STEPS)
# Of float64: the mantissa's length and mask, and the bits of the numbers 1 and 2⁵².
MANTISSA_BITS, MANTISSA = np.uint64(52), np.uint64(2**52 - 1)
_BITS_OF_1, _BITS_OF_2_52 = np.uint64(1023 << 52), np.uint64((1023 + 52) << 52)
FACTORIALS = tuple(1 / math.factorial(k) for k in range(18))


@intrinsic
def like(typing, value, example):
    """Return a number converted to the example's type; literals are float64."""

    def generate(context, builder, signature, args):
        return context.cast(builder, args[0], value, example)

    return example(value, example), generate


@intrinsic
def muladd(typing, a, b, c):
    """Return a · b + c, rounded once where the processor can.

    Of a · b + c · d, the compiler may round either product. On ARM's processors, it is
    not the same one in whole vectors as in the numbers left over.
    """

    def generate(context, builder, signature, args):
        kind = context.get_value_type(a)
        form = ir.FunctionType(kind, [kind] * 3)
        name = f"llvm.fmuladd.f{a.bitwidth}"
        call = cgutils.get_or_insert_function(builder.module, form, name)
        return builder.call(call, args)

    return a(a, a, a), generate


@intrinsic
def _is_single(typing, example):
    """Return whether the example is float32, as a compile-time constant."""

    def generate(context, builder, signature, args):
        return context.get_constant(types.boolean, example == types.float32)

    return types.boolean(example), generate


@intrinsic
def _power_of_two(typing, n):
    """Return 2ⁿ by setting the exponent; n is whole, and 2ⁿ in its type's range."""
    integer, bias, mantissa = types.int64, 1023, 52
    if n == types.float32:
        integer, bias, mantissa = types.int32, 127, 23

    def generate(context, builder, signature, args):
        bits = builder.fptosi(args[0], context.get_value_type(integer))
        biased = builder.add(bits, bits.type(bias))
        shifted = builder.shl(biased, bits.type(mantissa))
        return builder.bitcast(shifted, context.get_value_type(n))

    return n(n), generate


@inner_njit(fastmath=EXACT, error_model="numpy")
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


@inner_njit(fastmath=EXACT, error_model="numpy")
def exp(x):
    """Return the exponential, clamped to the range of normal numbers."""
    p, power = _parts(x)
    return power * p + power


@inner_njit(fastmath=EXACT, error_model="numpy")
def expm1(x):
    """Return exp(x) - 1, accurate near 0 too."""
    p, power = _parts(x)
    return power * p + (power - like(1.0, x))


@inner_njit(fastmath=EXACT, error_model="numpy")
def tanh(x):
    """Return the hyperbolic tangent, (exp(2x) - 1) / (exp(2x) + 1)."""
    e = expm1(x + x)
    return e / (e + like(2.0, x))


@intrinsic
def _bits(typing, x):
    """Return a float64's bits, uint64."""

    def generate(context, builder, signature, args):
        return builder.bitcast(args[0], context.get_value_type(types.uint64))

    return types.uint64(types.float64), generate


@intrinsic
def _of_bits(typing, bits):
    """Return the float64 that has these bits."""

    def generate(context, builder, signature, args):
        return builder.bitcast(args[0], context.get_value_type(types.float64))

    return types.float64(types.uint64), generate


@inner_njit(fastmath=EXACT, error_model="numpy")
def log(x):
    """Return the natural logarithm of a positive, normal float64.

    x = 2ⁿ m, √½ < m ≤ √2; log(m) = 2 artanh(s), s = (m - 1) / (m + 1).
    """
    bits = _bits(x)
    # The exponent becomes a number's lowest bits: AVX2 cannot convert 64-bit integers.
    exponent = _of_bits((bits >> MANTISSA_BITS) | _BITS_OF_2_52) - 2.0**52
    m = _of_bits((bits & MANTISSA) | _BITS_OF_1)
    large = m > math.sqrt(2)
    n = exponent - (1022.0 if large else 1023.0)
    m = 0.5 * m if large else m
    s = (m - 1.0) / (m + 1.0)
    square, p = s * s, 1.0 / 21
    p = p * square + 1.0 / 19
    p = p * square + 1.0 / 17
    p = p * square + 1.0 / 15
    p = p * square + 1.0 / 13
    p = p * square + 1.0 / 11
    p = p * square + 1.0 / 9
    p = p * square + 1.0 / 7
    p = p * square + 1.0 / 5
    p = p * square + 1.0 / 3
    return n * math.log(2) + 2.0 * (s + s * (square * p))


@inner_njit(fastmath=EXACT, error_model="numpy")
def turned(turns):
    """Return the cosine and the sine of 2π turns, float64, turns in [0, 1].

    x, the angle from the nearest quarter turn, is at most π/4.
    """
    quarter = np.floor(4.0 * turns + 0.5)
    x = (4.0 * turns - quarter) * (math.pi / 2)
    square = x * x
    p = FACTORIALS[16]
    p = FACTORIALS[14] - p * square
    p = FACTORIALS[12] - p * square
    p = FACTORIALS[10] - p * square
    p = FACTORIALS[8] - p * square
    p = FACTORIALS[6] - p * square
    p = FACTORIALS[4] - p * square
    p = FACTORIALS[2] - p * square
    cos = 1.0 - p * square
    p = FACTORIALS[17]
    p = FACTORIALS[15] - p * square
    p = FACTORIALS[13] - p * square
    p = FACTORIALS[11] - p * square
    p = FACTORIALS[9] - p * square
    p = FACTORIALS[7] - p * square
    p = FACTORIALS[5] - p * square
    p = FACTORIALS[3] - p * square
    sin = x - x * (p * square)
    half = 0.5 * quarter
    odd = half != np.floor(half)
    cos, sin = (-sin if odd else cos), (cos if odd else sin)
    # Both change their signs at quarters 2 and 3, whose middle is 2.5.
    opposite = abs(quarter - 2.5) < 1.0
    return (-cos if opposite else cos), (-sin if opposite else sin)


@inner_njit(error_model="numpy")
def philox(a, b, c, d, k0, k1):
    """Return four random words; see `nnx.maths.random.philox`."""
    for _ in range(random.ROUNDS):
        left, right = a * LEFT, c * RIGHT
        a, c = (right >> HALF) ^ b ^ k0, (left >> HALF) ^ d ^ k1
        b, d = right & WORD, left & WORD
        k0, k1 = (k0 + KEY_LEFT) & WORD, (k1 + KEY_RIGHT) & WORD
    return a, b, c, d


@inner_njit()
def uniform(word):
    """Return a number in (0, 1), float64; see `nnx.maths.random.uniform`."""
    return (np.float64(word) + 0.5) * 2.0**-32
