"""Bias and activation in one pass over a block, and the activation's gradient.

A block is rows [top, bottom) and columns [left, right) of a matrix, four unsigned
numbers: an index that could be negative would mean, as in Python, one from the end, and
checking for that keeps a loop from becoming vector code.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from nnx_backends.numba_kernels import elementary
from nnx_backends.numba_kernels.elementary import like

NAMES = "identity", "relu", "leaky_relu", "elu", "tanh", "sigmoid", "softplus"
# No flag that lets the compiler assume there is no NaN: a diverged loss must show.
LOOP = {"contract", "reassoc", "nsz"}


@njit(nogil=True)
def block(top: int, bottom: int, left: int, right: int) -> Any:
    """Return a block's bounds as loops want them."""
    return np.uint64(top), np.uint64(bottom), np.uint64(left), np.uint64(right)


def _forward(function: Callable[..., Any]) -> Any:
    """Return a compiled loop for y = f(y + bias) over a block."""

    @njit(nogil=True, fastmath=LOOP, error_model="numpy")
    def loop(y: Any, bias: Any, bounds: Any) -> None:
        top, bottom, left, right = bounds
        for i in range(top, bottom):
            for j in range(left, right):
                y[i, j] = function(y[i, j] + bias[j])

    return loop


def _backward(function: Callable[..., Any]) -> Any:
    """Return a compiled loop for dy = dy · f'(share · y) over a block."""

    @njit(nogil=True, fastmath=LOOP, error_model="numpy")
    def loop(dy: Any, y: Any, bounds: Any, share: Any) -> None:
        top, bottom, left, right = bounds
        for i in range(top, bottom):
            for j in range(left, right):
                dy[i, j] = dy[i, j] * function(share * y[i, j])

    return loop


@njit(nogil=True, error_model="numpy")
def _identity(z: Any) -> Any:
    return z


@njit(nogil=True, error_model="numpy")
def _relu(z: Any) -> Any:
    return like(0.0, z) if z < 0 else z


@njit(nogil=True, error_model="numpy")
def _relu_slope(y: Any) -> Any:
    return like(1.0, y) if y > 0 else like(0.0, y)


@njit(nogil=True, error_model="numpy")
def _leaky_relu(z: Any) -> Any:
    return like(0.01, z) * z if z < 0 else z


@njit(nogil=True, error_model="numpy")
def _leaky_relu_slope(y: Any) -> Any:
    return like(1.0, y) if y > 0 else like(0.01, y)


@njit(nogil=True, fastmath=elementary.EXACT, error_model="numpy")
def _elu(z: Any) -> Any:
    return elementary.expm1(z) if z < 0 else z


@njit(nogil=True, error_model="numpy")
def _elu_slope(y: Any) -> Any:
    return (y if y < 0 else like(0.0, y)) + like(1.0, y)


@njit(nogil=True, error_model="numpy")
def _tanh_slope(y: Any) -> Any:
    return like(1.0, y) - y * y


@njit(nogil=True, fastmath=elementary.EXACT, error_model="numpy")
def _sigmoid(z: Any) -> Any:
    small = elementary.exp(-abs(z))
    return (small if z < 0 else like(1.0, z)) / (like(1.0, z) + small)


@njit(nogil=True, error_model="numpy")
def _sigmoid_slope(y: Any) -> Any:
    return y * (like(1.0, y) - y)


@njit(nogil=True, fastmath=elementary.EXACT, error_model="numpy")
def _softplus(z: Any) -> Any:
    return (like(0.0, z) if z < 0 else z) + math.log1p(elementary.exp(-abs(z)))


@njit(nogil=True, fastmath=elementary.EXACT, error_model="numpy")
def _softplus_slope(y: Any) -> Any:
    return -elementary.expm1(-y)


_f0, _f1, _f2 = _forward(_identity), _forward(_relu), _forward(_leaky_relu)
_f3, _f4, _f5 = _forward(_elu), _forward(elementary.tanh), _forward(_sigmoid)
_f6 = _forward(_softplus)
_b1, _b2 = _backward(_relu_slope), _backward(_leaky_relu_slope)
_b3, _b4, _b5 = _backward(_elu_slope), _backward(_tanh_slope), _backward(_sigmoid_slope)
_b6 = _backward(_softplus_slope)


@njit(nogil=True, error_model="numpy")
def forward(code: int, y: Any, bias: Any, bounds: Any) -> None:
    """Add the bias and apply an activation to a block, in place.

    code: the activation's place in `NAMES`
    y: (batch, out_features); bias: (out_features,)
    """
    if code == 0:
        _f0(y, bias, bounds)
    elif code == 1:
        _f1(y, bias, bounds)
    elif code == 2:
        _f2(y, bias, bounds)
    elif code == 3:
        _f3(y, bias, bounds)
    elif code == 4:
        _f4(y, bias, bounds)
    elif code == 5:
        _f5(y, bias, bounds)
    else:
        _f6(y, bias, bounds)


@njit(nogil=True, error_model="numpy")
def backward(code: int, dy: Any, y: Any, bounds: Any, share: Any) -> None:
    """Turn a block of dy into dz, in place; share · y is as `forward` left it."""
    if code == 1:
        _b1(dy, y, bounds, share)
    elif code == 2:
        _b2(dy, y, bounds, share)
    elif code == 3:
        _b3(dy, y, bounds, share)
    elif code == 4:
        _b4(dy, y, bounds, share)
    elif code == 5:
        _b5(dy, y, bounds, share)
    elif code == 6:
        _b6(dy, y, bounds, share)
