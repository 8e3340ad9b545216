"""Steps of the optimizers on a run of parameters; see `nnx.maths.optimizers`.

What an optimizer remembers of a parameter lies as the parameters do, at the same places
of arrays of its own.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from nnx.maths.optimizers import EPSILON
from nnx_backends.numba_cpu.activations import LOOP
from nnx_backends.numba_cpu.elementary import like
from nnx_backends.numba_cpu.switch import switch
from nnx_backends.numba_cpu.vectors import pointer


class State(NamedTuple):
    """All parameters, and what else lies as they do; see `layout`.

    parameters, ema: flat; ema is their moving average, or empty
    optimizer_state: (arrays, len(parameters))
    """

    parameters: Any
    optimizer_state: Any
    ema: Any


class Optimizer(NamedTuple):
    """The optimizer of a step, its numbers in the parameters' dtype.

    code: its place in `NAMES`
    parameters, first, second: pointers to all parameters, and to what is remembered of
        them; of those that an optimizer has no use for nothing is read
    keep: what weights are multiplied by for their decay
    mean_rest, square_rest: 1 - momentum and 1 - beta2, of which float32 would leave
        three digits where beta2 is 0.9999
    """

    code: int
    parameters: Any
    first: Any
    second: Any
    learning_rate: Any
    momentum: Any
    mean_correction: Any
    square_correction: Any
    beta2: Any
    mean_rest: Any
    square_rest: Any
    keep: Any
    l1: Any
    l2: Any
    max_norm: Any


@njit(nogil=True)
def at_step(hyper, code, state):
    """Return the optimizer of a step; hyper: a record of `layout.HYPER`, float64."""
    real, memory = state.parameters[0], state.optimizer_state
    decay = hyper.learning_rate * like(hyper.weight_decay, real)
    return Optimizer(
        code,
        pointer(state.parameters),
        pointer(memory[0]),
        pointer(memory[1]),
        like(hyper.learning_rate, real),
        like(hyper.momentum, real),
        like(hyper.mean_correction, real),
        like(hyper.square_correction, real),
        like(hyper.beta2, real),
        like(1.0 - hyper.momentum, real),
        like(1.0 - hyper.beta2, real),
        like(1.0 - decay, real),
        like(hyper.l1, real),
        like(hyper.l2, real),
        like(hyper.max_norm, real),
    )


@njit(nogil=True)
def needs_gradient(optimizer):
    """Return whether a weight's gradient is needed, and not only taken off it."""
    return optimizer.code > 0 or optimizer.l1 > 0


def _loop(direction):
    """Return a compiled loop for parameter = keep · parameter - rate · direction."""

    @njit(nogil=True, fastmath=LOOP, error_model="numpy")
    def loop(optimizer, gradient, at, count, penalty):
        w, first, second = optimizer.parameters, optimizer.first, optimizer.second
        keep, l1, l2 = penalty
        for i in range(count):
            j = at + i
            slope = _penalized(gradient[i], w[j], l1, l2)
            step = direction(slope, first, second, j, optimizer)
            w[j] = keep * w[j] - optimizer.learning_rate * step

    return loop


@njit(nogil=True, error_model="numpy")
def _penalized(slope, w, l1, l2):
    """Return the slope with the penalties'."""
    zero = like(0.0, w)
    side = l1 if w > zero else (-l1 if w < zero else zero)
    return slope + l2 * w + side


_direction = njit(nogil=True, fastmath=LOOP, error_model="numpy")


@_direction
def _sgd(slope, first, second, j, optimizer):
    return slope


@_direction
def _momentum(slope, first, second, j, optimizer):
    velocity = optimizer.momentum * first[j] + slope
    first[j] = velocity
    return velocity


@_direction
def _nesterov(slope, first, second, j, optimizer):
    velocity = optimizer.momentum * first[j] + slope
    first[j] = velocity
    return slope + optimizer.momentum * velocity


@_direction
def _adam(slope, first, second, j, optimizer):
    mean = optimizer.momentum * first[j] + optimizer.mean_rest * slope
    square = optimizer.beta2 * second[j] + optimizer.square_rest * (slope * slope)
    first[j], second[j] = mean, square
    root = np.sqrt(optimizer.square_correction * square) + like(EPSILON, square)
    return optimizer.mean_correction * mean / root


@_direction
def _rmsprop(slope, first, second, j, optimizer):
    square = optimizer.beta2 * first[j] + optimizer.square_rest * (slope * slope)
    root = np.sqrt(square) + like(EPSILON, square)
    velocity = optimizer.momentum * second[j] + slope / root
    first[j], second[j] = square, velocity
    return velocity


NAMES = "sgd", "momentum", "nesterov", "adam", "rmsprop"
_step = switch(*map(_loop, (_sgd, _momentum, _nesterov, _adam, _rmsprop)))


@njit(nogil=True)
def step_weights(optimizer, gradient, at, count):
    """Take a step with so many weights, from a place of the flat parameters.

    gradient: a pointer to the loss's with respect to them
    """
    penalty = optimizer.keep, optimizer.l1, optimizer.l2
    first, n = np.uint64(at), np.uint64(count)
    _step(optimizer.code, optimizer, gradient, first, n, penalty)


@njit(nogil=True)
def step_biases(optimizer, gradient, at, count):
    """Take a step with biases, which neither decay nor are penalized."""
    one, zero = like(1.0, optimizer.keep), like(0.0, optimizer.keep)
    first, n = np.uint64(at), np.uint64(count)
    _step(optimizer.code, optimizer, gradient, first, n, (one, zero, zero))


@njit(nogil=True)
def moving_average(state, part, decay):
    """Move a part of the average towards the parameters."""
    keep, rest = like(decay, state.ema[0]), like(1.0 - decay, state.ema[0])
    _mix(state.ema, state.parameters, part, keep, rest)


@njit(nogil=True, fastmath=LOOP, error_model="numpy")
def _mix(a, b, part, keep, rest):
    """Set a part of a to keep · a + rest · b."""
    for i in range(np.uint64(part[0]), np.uint64(part[1])):
        a[i] = keep * a[i] + rest * b[i]
