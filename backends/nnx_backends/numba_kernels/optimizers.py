"""Steps of the optimizers on a run of parameters; see `nnx.maths.optimizers`.

A parameter's slots lie as the parameters do, at the same places of arrays of their own.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from nnx.maths.optimizers import EPSILON
from nnx_backends.numba_kernels.activations import LOOP
from nnx_backends.numba_kernels.elementary import like

NAMES = "sgd", "momentum", "nesterov", "adam", "rmsprop"


class Numbers(NamedTuple):
    """What a step does to parameters: an optimizer's code, then its numbers.

    mean_rest, square_rest: 1 - momentum and 1 - beta2, of which float32 would leave
        three digits where beta2 is 0.9999
    keep: what weights are multiplied by for their decay
    """

    code: int
    rate: Any
    momentum: Any
    mean_scale: Any
    square_scale: Any
    beta2: Any
    mean_rest: Any
    square_rest: Any
    keep: Any
    l1: Any
    l2: Any


@njit(nogil=True, error_model="numpy")
def _penalized(slope: Any, w: Any, l1: Any, l2: Any) -> Any:
    """Return the slope with the penalties'."""
    zero = like(0.0, w)
    side = l1 if w > zero else (-l1 if w < zero else zero)
    return slope + l2 * w + side


@njit(nogil=True, fastmath=LOOP, error_model="numpy")
def _sgd(g: Any, g_at: Any, w: Any, at: Any, count: Any, n: Any) -> None:
    for i in range(count):
        j = at + i
        slope = _penalized(g[g_at + i], w[j], n.l1, n.l2)
        w[j] = n.keep * w[j] - n.rate * slope


@njit(nogil=True, fastmath=LOOP, error_model="numpy")
def _momentum(g: Any, g_at: Any, w: Any, v: Any, at: Any, count: Any, n: Any) -> None:
    for i in range(count):
        j = at + i
        slope = _penalized(g[g_at + i], w[j], n.l1, n.l2)
        velocity = n.momentum * v[j] + slope
        v[j] = velocity
        w[j] = n.keep * w[j] - n.rate * velocity


@njit(nogil=True, fastmath=LOOP, error_model="numpy")
def _nesterov(g: Any, g_at: Any, w: Any, v: Any, at: Any, count: Any, n: Any) -> None:
    for i in range(count):
        j = at + i
        slope = _penalized(g[g_at + i], w[j], n.l1, n.l2)
        velocity = n.momentum * v[j] + slope
        v[j] = velocity
        w[j] = n.keep * w[j] - n.rate * (slope + n.momentum * velocity)


@njit(nogil=True, fastmath=LOOP, error_model="numpy")
def _adam(
    g: Any, g_at: Any, w: Any, m: Any, s: Any, at: Any, count: Any, n: Any
) -> None:
    for i in range(count):
        j = at + i
        slope = _penalized(g[g_at + i], w[j], n.l1, n.l2)
        mean = n.momentum * m[j] + n.mean_rest * slope
        square = n.beta2 * s[j] + n.square_rest * (slope * slope)
        m[j], s[j] = mean, square
        root = np.sqrt(n.square_scale * square) + like(EPSILON, n.rate)
        w[j] = n.keep * w[j] - n.rate * (n.mean_scale * mean / root)


@njit(nogil=True, fastmath=LOOP, error_model="numpy")
def _rmsprop(
    g: Any, g_at: Any, w: Any, s: Any, v: Any, at: Any, count: Any, n: Any
) -> None:
    for i in range(count):
        j = at + i
        slope = _penalized(g[g_at + i], w[j], n.l1, n.l2)
        square = n.beta2 * s[j] + n.square_rest * (slope * slope)
        velocity = n.momentum * v[j] + slope / (np.sqrt(square) + like(EPSILON, n.rate))
        s[j], v[j] = square, velocity
        w[j] = n.keep * w[j] - n.rate * velocity


@njit(nogil=True, error_model="numpy")
def apply(
    g: Any, g_at: int, params: Any, slots: Any, at: int, count: int, numbers: Any
) -> None:
    """Take one step with the parameters at … at + count - 1.

    g: flat, the loss's gradient with respect to them, from g_at
    slots: (count of slots, len(params))
    """
    first, place, n = np.uint64(g_at), np.uint64(at), np.uint64(count)
    if numbers.code == 0:
        _sgd(g, first, params, place, n, numbers)
    elif numbers.code == 1:
        _momentum(g, first, params, slots[0], place, n, numbers)
    elif numbers.code == 2:
        _nesterov(g, first, params, slots[0], place, n, numbers)
    elif numbers.code == 3:
        _adam(g, first, params, slots[0], slots[1], place, n, numbers)
    else:
        _rmsprop(g, first, params, slots[0], slots[1], place, n, numbers)


@njit(nogil=True, fastmath=LOOP, error_model="numpy")
def average(
    averages: Any, params: Any, first: int, last: int, keep: Any, rest: Any
) -> None:
    """Move the averages first … last - 1 towards the parameters; rest is 1 - keep."""
    for i in range(np.uint64(first), np.uint64(last)):
        averages[i] = keep * averages[i] + rest * params[i]
