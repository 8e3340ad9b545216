"""Steps of the optimizers on consecutive parameters; see `nnx.maths.optimizers`.

An optimizer's state is stored like the parameters, at the same places of arrays of its
own.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from nnx_backends.numba_cpu.cache import inner_njit
from nnx_backends.numba_cpu.elementary import LOOP, like, muladd
from nnx_backends.numba_cpu.kernel import Kernel
from nnx_backends.numba_cpu.records import (
    GRAIN,
    is_narrow,
    own_columns,
    own_panels,
    own_units,
    part,
    units,
    units_gradient,
    vector,
    weight,
)
from nnx_backends.numba_cpu.team import partition
from nnx_backends.numba_cpu.vectors import pointer_at


class Optimizer(NamedTuple):
    """The optimizer of a step, its numbers in the parameters' dtype.

    parameters, first, second: pointers to all parameters and to the optimizer's state;
        state that an optimizer does not use is not read
    mean_rest, square_rest: 1 - momentum and 1 - beta2, subtracted in float64: float32
        would leave three digits for a beta2 of 0.9999
    clip: the factor of gradients, including those of the penalties
    penalty: the weights' factor for their decay, and the numbers l1 and l2
    """

    parameters: Any
    first: Any
    second: Any
    learning_rate: Any
    momentum: Any
    mean_correction: Any
    square_correction: Any
    beta2: Any
    epsilon: Any
    mean_rest: Any
    square_rest: Any
    clip: Any
    penalty: Any


@inner_njit()
def of_step(run, step, hyper):
    """Return the optimizer of a step."""
    real = run.one
    decay = hyper.learning_rate * like(hyper.weight_decay, real)
    return Optimizer(
        pointer_at(run.parameters, real),
        pointer_at(run.first, real),
        pointer_at(run.second, real),
        like(hyper.learning_rate, real),
        like(hyper.momentum, real),
        like(hyper.mean_correction, real),
        like(hyper.square_correction, real),
        like(hyper.beta2, real),
        like(hyper.epsilon, real),
        like(1.0 - hyper.momentum, real),
        like(1.0 - hyper.beta2, real),
        like(step.clip, real),
        (like(1.0 - decay, real), like(hyper.l1, real), like(hyper.l2, real)),
    )


@inner_njit()
def rate_and_keep(hyper, real):
    """Return the learning rate, and the factor by which SGD multiplies weights."""
    rate = like(hyper.learning_rate, real)
    decay = hyper.learning_rate * like(hyper.weight_decay, real)
    return rate, like(1.0 - decay, real) - rate * like(hyper.l2, real)


def _loop(direction):
    """Return a compiled loop for parameter = keep · parameter - rate · direction."""

    @inner_njit(fastmath=LOOP, error_model="numpy")
    def loop(optimizer, gradient, at, count, penalty):
        w, first, second = optimizer.parameters, optimizer.first, optimizer.second
        keep, l1, l2 = penalty
        for i in range(count):
            j = at + i
            slope = optimizer.clip * _penalized(gradient[i], w[j], l1, l2)
            step = direction(slope, first, second, j, optimizer)
            w[j] = muladd(-optimizer.learning_rate, step, keep * w[j])

    return loop


@inner_njit(error_model="numpy")
def _penalized(slope, w, l1, l2):
    """Return a loss's slope plus the slopes of the penalties."""
    zero = like(0.0, w)
    side = l1 if w > zero else (-l1 if w < zero else zero)
    return slope + l2 * w + side


_direction = inner_njit(fastmath=LOOP, error_model="numpy")


@_direction
def _sgd(slope, first, second, j, optimizer):
    return slope


@_direction
def _momentum(slope, first, second, j, optimizer):
    velocity = muladd(optimizer.momentum, first[j], slope)
    first[j] = velocity
    return velocity


@_direction
def _nesterov(slope, first, second, j, optimizer):
    velocity = muladd(optimizer.momentum, first[j], slope)
    first[j] = velocity
    return muladd(optimizer.momentum, velocity, slope)


@_direction
def _adam(slope, first, second, j, optimizer):
    mean = muladd(optimizer.momentum, first[j], optimizer.mean_rest * slope)
    rest = optimizer.square_rest * (slope * slope)
    square = muladd(optimizer.beta2, second[j], rest)
    first[j], second[j] = mean, square
    root = np.sqrt(optimizer.square_correction * square) + optimizer.epsilon
    return optimizer.mean_correction * mean / root


@_direction
def _rmsprop(slope, first, second, j, optimizer):
    rest = optimizer.square_rest * (slope * slope)
    square = muladd(optimizer.beta2, first[j], rest)
    root = np.sqrt(square) + optimizer.epsilon
    velocity = muladd(optimizer.momentum, second[j], slope / root)
    first[j], second[j] = square, velocity
    return velocity


_DIRECTIONS = {
    "sgd": _sgd,
    "momentum": _momentum,
    "nesterov": _nesterov,
    "adam": _adam,
    "rmsprop": _rmsprop,
}
# LOOPS[name](optimizer, gradient, at, count, penalty) takes a step with `count`
# parameters from place `at` on; gradient: pointer to theirs; penalty: see `Optimizer`
LOOPS = {name: _loop(direction) for name, direction in _DIRECTIONS.items()}
take_step: Any = None  # set for each kernel


def _step_units(run, layer, step, hyper):
    """Take a step with biases and gammas, which neither decay nor are penalized."""
    optimizer, (first, last) = of_step(run, step, hyper), own_units(layer, step)
    one, zero = run.one, like(0.0, run.one)
    for at in (layer.bias_at, layer.gamma_at):
        if at >= 0 and first < last:
            begin, count = np.uint64(at + first), np.uint64(last - first)
            gradient = pointer_at(run.gradients + begin * run.itemsize, one)
            take_step(optimizer, gradient, begin, count, (one, zero, zero))


def _step_weight(run, layer, step, hyper):
    """Take a step with this thread's panels, whose gradient has been stored."""
    optimizer, panels = of_step(run, step, hyper), own_panels(layer, step)
    panel = layer.rows * layer.columns
    at, count = layer.weight_at + panels[0] * panel, (panels[1] - panels[0]) * panel
    gradient = pointer_at(run.gradients + at * run.itemsize, run.one)
    take_step(optimizer, gradient, np.uint64(at), np.uint64(count), optimizer.penalty)


@cache
def step_units(name: str) -> Kernel:
    """Return the kernel of an optimizer's step with parameters of one per unit."""
    return Kernel(_step_units, name, take_step=LOOPS[name])


@cache
def step_weight(name: str) -> Kernel:
    """Return the kernel of an optimizer's step with a weight."""
    return Kernel(_step_weight, name, take_step=LOOPS[name])


def _square(run, layer, step, hyper):
    """Set the squared norm of each unit's gradient, including the penalties'."""
    l1, l2 = like(hyper.l1, run.one), like(hyper.l2, run.one)
    w, dw = weight(run, run.parameters, layer), weight(run, run.gradients, layer)
    squares = units(run, layer, run.squares)
    first, last = own_panels(layer, step)
    for p in range(first, last):
        if is_narrow(layer):
            squares[p] = _square_unit(w[p].reshape(-1), dw[p].reshape(-1), l1, l2)
            continue
        columns = min(layer.columns, layer.outputs - p * layer.columns)
        _square_panel(w[p], dw[p], l1, l2, squares[p * layer.columns :][:columns])
    left, right = own_columns(layer, step)
    for at in (layer.bias_at, layer.gamma_at):
        if at >= 0:
            _add_squares(units_gradient(run, layer, at), squares, left, right)


def _clip(run, layer, step, hyper):
    """Set the factor of the gradients that keeps their norm within its bound."""
    total = _sum(vector(run.squares, run.units, run.one))
    bound = like(hyper.clip_norm, run.one)
    step.clip = bound / max(np.sqrt(total), bound)


SQUARE, CLIP = Kernel(_square), Kernel(_clip)


@inner_njit(fastmath=LOOP, error_model="numpy")
def _square_unit(w, dw, l1, l2):
    """Return the sum of (dw + penalties)² over a unit's weights."""
    total = like(0.0, l1)
    for k in range(np.uint64(len(w))):
        slope = _penalized(dw[k], w[k], l1, l2)
        total += slope * slope
    return total


@inner_njit(fastmath=LOOP, error_model="numpy")
def _square_panel(w, dw, l1, l2, squares):
    """Set squares to the sums of (dw + penalties)² over the rows of a panel."""
    columns = np.uint64(len(squares))
    for j in range(columns):
        squares[j] = like(0.0, l1)
    for k in range(np.uint64(w.shape[0])):
        for j in range(columns):
            slope = _penalized(dw[k, j], w[k, j], l1, l2)
            squares[j] += slope * slope


@inner_njit(fastmath=LOOP, error_model="numpy")
def _add_squares(gradient, squares, first, last):
    for j in range(np.uint64(first), np.uint64(last)):
        squares[j] += gradient[j] * gradient[j]


@inner_njit(fastmath=LOOP, error_model="numpy")
def _sum(numbers):
    total = like(0.0, numbers[0])
    for i in range(np.uint64(len(numbers))):
        total += numbers[i]
    return total


def _average(run, layer, step, hyper):
    """Move this thread's part of the parameters' moving average towards them."""
    keep, rest = like(hyper.ema_decay, run.one), like(1.0 - hyper.ema_decay, run.one)
    own = partition(run.size, GRAIN, step)
    average = part(run, run.ema, 0, run.size)
    _mix(average, part(run, run.parameters, 0, run.size), own, keep, rest)


AVERAGE = Kernel(_average)


@inner_njit(fastmath=LOOP, error_model="numpy")
def _mix(a, b, part, keep, rest):
    """Set a part of a to keep · a + rest · b."""
    for i in range(np.uint64(part[0]), np.uint64(part[1])):
        a[i] = muladd(keep, a[i], rest * b[i])
