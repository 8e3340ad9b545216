"""Bias and activation in one pass over a block, and the activation's gradient."""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from nnx_backends.numba_cpu import elementary
from nnx_backends.numba_cpu.elementary import like
from nnx_backends.numba_cpu.switch import switch

# No flag that lets the compiler assume there is no NaN: a diverged loss must show.
LOOP = {"contract", "reassoc", "nsz"}


class Block(NamedTuple):
    """Rows [top, bottom) and columns [left, right) of a matrix, four unsigned numbers.

    An index that could be negative would mean, as in Python, one from the end, and
    checking for that keeps a loop from becoming vector code.
    """

    top: Any
    bottom: Any
    left: Any
    right: Any


@njit(nogil=True)
def block(rows, columns):
    """Return the block of these rows and columns, each first and last + 1."""
    return Block(
        np.uint64(rows[0]),
        np.uint64(rows[1]),
        np.uint64(columns[0]),
        np.uint64(columns[1]),
    )


_plain = njit(nogil=True, error_model="numpy")
_exact = njit(nogil=True, error_model="numpy", fastmath=elementary.EXACT)


def _forward(function):
    """Return a compiled loop for y = f(y + bias) over a block."""

    @njit(nogil=True, fastmath=LOOP, error_model="numpy")
    def loop(y, bias, part):
        for i in range(part.top, part.bottom):
            for j in range(part.left, part.right):
                y[i, j] = function(y[i, j] + bias[j])

    return loop


def _backward(slope):
    """Return a compiled loop for dy = dy · f'(scale · y) over a block."""

    @njit(nogil=True, fastmath=LOOP, error_model="numpy")
    def loop(dy, y, part, scale):
        for i in range(part.top, part.bottom):
            for j in range(part.left, part.right):
                dy[i, j] = dy[i, j] * slope(scale * y[i, j])

    return loop


@_plain
def _identity_backward(dy, y, part, scale):
    """Leave dy as it is."""


@_exact
def _sigmoid(z):
    small = elementary.exp(-abs(z))
    return (small if z < 0 else like(1.0, z)) / (like(1.0, z) + small)


@_exact
def _softplus(z):
    return (like(0.0, z) if z < 0 else z) + math.log1p(elementary.exp(-abs(z)))


# Each activation's function of z, and its slope as a function of y.
_LOOPS = {
    "identity": (_forward(_plain(lambda z: z)), _identity_backward),
    "relu": (
        _forward(_plain(lambda z: like(0.0, z) if z < 0 else z)),
        _backward(_plain(lambda y: like(1.0, y) if y > 0 else like(0.0, y))),
    ),
    "leaky_relu": (
        _forward(_plain(lambda z: like(0.01, z) * z if z < 0 else z)),
        _backward(_plain(lambda y: like(1.0, y) if y > 0 else like(0.01, y))),
    ),
    "elu": (
        _forward(_exact(lambda z: elementary.expm1(z) if z < 0 else z)),
        _backward(_plain(lambda y: (y if y < 0 else like(0.0, y)) + like(1.0, y))),
    ),
    "tanh": (
        _forward(elementary.tanh),
        _backward(_plain(lambda y: like(1.0, y) - y * y)),
    ),
    "sigmoid": (
        _forward(_sigmoid),
        _backward(_plain(lambda y: y * (like(1.0, y) - y))),
    ),
    "softplus": (
        _forward(_softplus),
        _backward(_exact(lambda y: -elementary.expm1(-y))),
    ),
}
NAMES = tuple(_LOOPS)
_forwards, _backwards = zip(*_LOOPS.values(), strict=True)
# forward(code, y, bias, part) adds the bias and applies an activation to a block of y,
# in place; code is the activation's place in `NAMES`.
forward = switch(*_forwards)
# backward(code, dy, y, part, scale) turns a block of dy into dz, in place; scale · y is
# as `forward` left it.
backward = switch(*_backwards)
