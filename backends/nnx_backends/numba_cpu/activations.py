"""Bias and activation in one pass over a block, and the activation's gradient."""

import math
from functools import cache
from typing import Any

from nnx.maths.activations import ACTIVATIONS, GELU_CUBIC, GELU_SCALE, LEAKY_SLOPE
from nnx_backends.numba_cpu import dropout, elementary
from nnx_backends.numba_cpu.cache import inner_njit
from nnx_backends.numba_cpu.elementary import LOOP, like
from nnx_backends.numba_cpu.kernel import Kernel
from nnx_backends.numba_cpu.records import (
    biases,
    inputs,
    matrix,
    of_units,
    own_inputs,
    own_outputs,
)

_plain = inner_njit(error_model="numpy")
_exact = inner_njit(error_model="numpy", fastmath=elementary.EXACT)


@_exact
def _sigmoid(z):
    small = elementary.exp(-abs(z))
    return (small if z < 0 else like(1.0, z)) / (like(1.0, z) + small)


@_exact
def _softplus(z):
    return (like(0.0, z) if z < 0 else z) + math.log1p(elementary.exp(-abs(z)))


@_exact
def _silu_slope(z):
    s, one = _sigmoid(z), like(1.0, z)
    return s * (one + z * (one - s))


@_exact
def _gelu_gate(z):
    """Return (1 + tanh(u)) / 2, in a form that loses no digits where z < 0."""
    return _sigmoid(like(2.0 * GELU_SCALE, z) * (z + like(GELU_CUBIC, z) * z * z * z))


@_exact
def _gelu_slope(z):
    s, one = _gelu_gate(z), like(1.0, z)
    inner = like(2.0 * GELU_SCALE, z) * (one + like(3.0 * GELU_CUBIC, z) * z * z)
    return s * (one + z * (one - s) * inner)


# Each activation as a function of z, and its slope as a function of y, or of z where
# `nnx.maths.activations` defines it so.
FUNCTIONS = {
    "identity": (_plain(lambda z: z), _plain(lambda y: like(1.0, y))),
    "relu": (
        _plain(lambda z: like(0.0, z) if z < 0 else z),
        _plain(lambda y: like(1.0, y) if y > 0 else like(0.0, y)),
    ),
    "leaky_relu": (
        _plain(lambda z: like(LEAKY_SLOPE, z) * z if z < 0 else z),
        _plain(lambda y: like(1.0, y) if y > 0 else like(LEAKY_SLOPE, y)),
    ),
    "elu": (
        _exact(lambda z: elementary.expm1(z) if z < 0 else z),
        _plain(lambda y: (y if y < 0 else like(0.0, y)) + like(1.0, y)),
    ),
    "tanh": (elementary.tanh, _plain(lambda y: like(1.0, y) - y * y)),
    "sigmoid": (_sigmoid, _plain(lambda y: y * (like(1.0, y) - y))),
    "softplus": (_softplus, _exact(lambda y: -elementary.expm1(-y))),
    "silu": (_exact(lambda z: z * _sigmoid(z)), _silu_slope),
    "gelu": (_exact(lambda z: z * _gelu_gate(z)), _gelu_slope),
}
# Those with slope 0 at an output of 0: `backward` then also zeroes dropped-out units.
LEAVE_OUT = ("relu",)


def _loop(function: Any) -> Any:
    """Return a compiled loop for y = f(y + bias) over a block."""

    @inner_njit(fastmath=LOOP, error_model="numpy")
    def loop(y, bias, part):
        for i in range(part.top, part.bottom):
            for j in range(part.left, part.right):
                y[i, j] = function(y[i, j] + bias[j])

    return loop


def _loop_from_z(function: Any) -> Any:
    """Return a compiled loop for z = y + bias, y = f(z) over a block."""

    @inner_njit(fastmath=LOOP, error_model="numpy")
    def loop(z, y, bias, part):
        for i in range(part.top, part.bottom):
            for j in range(part.left, part.right):
                z[i, j] = y[i, j] + bias[j]
                y[i, j] = function(z[i, j])

    return loop


def _loop_backward(slope: Any) -> Any:
    """Return a compiled loop for dy = factor · dy · f'(scale · y) over a block.

    y: or z, for a slope that is a function of z
    """

    @inner_njit(fastmath=LOOP, error_model="numpy")
    def loop(dy, y, part, scale, factor):
        for i in range(part.top, part.bottom):
            for j in range(part.left, part.right):
                dy[i, j] = factor * dy[i, j] * slope(scale * y[i, j])

    return loop


# Set for each kernel.
loop: Any = None
loop_from_z: Any = None
loop_backward: Any = None
leaves_out: Any = None


def _activate(run, layer, step, hyper):
    """Set this thread's part of y to f(y + bias)."""
    y, bias = of_units(run, layer, layer.y), biases(run, layer)
    loop(y, bias, own_outputs(layer, step))


def _activate_from_z(run, layer, step, hyper):
    """Do the same, and set z to y + bias."""
    y, bias = of_units(run, layer, layer.y), biases(run, layer)
    loop_from_z(of_units(run, layer, layer.z), y, bias, own_outputs(layer, step))


def _activate_backward(run, layer, step, hyper):
    """Multiply this thread's part of dx by the slopes of the previous layer.

    That layer's outputs are stored as dropout has scaled them, and are scaled back.
    """
    dx = matrix(layer.dx, layer.batch, layer.x_stride, run.one)
    y, larger = inputs(run, layer, step), dropout.scale(hyper.dropout, run.one)
    factor = larger if leaves_out else run.one
    loop_backward(dx, y, own_inputs(layer, step), run.one / larger, factor)


def _activate_backward_from_z(run, layer, step, hyper):
    """Do the same, with slopes that are functions of z."""
    dx = matrix(layer.dx, layer.batch, layer.x_stride, run.one)
    z = matrix(layer.x_z, layer.batch, layer.x_stride, run.one)
    loop_backward(dx, z, own_inputs(layer, step), run.one, run.one)


@cache
def forward(name: str) -> Kernel:
    """Return the kernel that adds the bias and applies an activation to y."""
    function, _ = FUNCTIONS[name]
    if ACTIVATIONS[name].from_z:
        return Kernel(_activate_from_z, name, loop_from_z=_loop_from_z(function))
    return Kernel(_activate, name, loop=_loop(function))


@cache
def backward(name: str) -> Kernel:
    """Return the kernel that turns dx into the previous layer's dz.

    name: of the previous layer's activation
    """
    _, slope = FUNCTIONS[name]
    source = (
        _activate_backward_from_z if ACTIVATIONS[name].from_z else _activate_backward
    )
    names = {"loop_backward": _loop_backward(slope), "leaves_out": name in LEAVE_OUT}
    return Kernel(source, name, **names)
