"""Batch normalization of this thread's units; see `nnx.maths.batch_norm`.

Threads divide such a layer by units, so that no statistic needs another thread.
"""

import numpy as np

from nnx.maths.batch_norm import EPSILON, MOMENTUM
from nnx_backends.numba_cpu.cache import inner_njit
from nnx_backends.numba_cpu.elementary import LOOP, like, muladd
from nnx_backends.numba_cpu.kernel import Kernel
from nnx_backends.numba_cpu.records import (
    of_units,
    own_columns,
    part,
    scratch,
    units,
    units_gradient,
)

STRIP = 64  # units at a time; their numbers stay in the L1 cache


def _forward(run, layer, step, hyper):
    """Replace y, the products, by gamma times the normalized products."""
    y = of_units(run, layer, layer.y)
    normalized = of_units(run, layer, layer.normalized)
    means, variances = units(run, layer, run.means), units(run, layer, run.variances)
    gammas = part(run, run.parameters, layer.gamma_at, layer.outputs)
    scales, left = units(run, layer, run.scales), own_columns(layer, step)
    for first in range(left[0], left[1], STRIP):
        strip = np.uint64(first), np.uint64(min(first + STRIP, left[1]))
        batch = scratch(run, step, 1, STRIP)[0]
        if step.batch == 1:
            _set_scales(variances, scales, strip)
            _normalize(y, step.batch, means[first:], scales, strip, normalized)
        else:
            _set_means(y, step.batch, strip, batch)
            _set_statistics(y, step.batch, batch, strip, means, variances, scales)
            _normalize(y, step.batch, batch, scales, strip, normalized)
        _multiply(normalized, step.batch, gammas, strip, y)


def _backward(run, layer, step, hyper):
    """Replace dz, the gradient of `_forward`'s result, by that of the products."""
    dz = of_units(run, layer, layer.dz)
    normalized = of_units(run, layer, layer.normalized)
    gammas = part(run, run.parameters, layer.gamma_at, layer.outputs)
    dbias = units_gradient(run, layer, layer.bias_at)
    dgamma = units_gradient(run, layer, layer.gamma_at)
    scales, columns = units(run, layer, run.scales), own_columns(layer, step)
    for first in range(columns[0], columns[1], STRIP):
        strip = np.uint64(first), np.uint64(min(first + STRIP, columns[1]))
        sums = scratch(run, step, 2, STRIP)
        _sum_gradients(dz, normalized, step.batch, strip, sums)
        _add_sums(sums, strip, step.row > step.top, dbias, dgamma)
        if step.batch == 1:
            sums[:] = like(0.0, run.one)
        _center(dz, normalized, step.batch, strip, sums, gammas, scales)


FORWARD, BACKWARD = Kernel(_forward, "norm"), Kernel(_backward, "norm")

_loops = inner_njit(fastmath=LOOP, error_model="numpy")


@_loops
def _set_means(y, batch, part, means):
    """Set means to the columns' means over the batch; means: of the part's columns."""
    first, last = part
    for j in range(last - first):
        means[j] = like(0.0, y[0, 0])
    for i in range(np.uint64(batch)):
        for j in range(last - first):
            means[j] += y[i, first + j]
    for j in range(last - first):
        means[j] /= like(batch, y[0, 0])


@_loops
def _set_scales(variances, scales, part):
    """Set scales to 1 / √(variance + ε)."""
    for j in range(part[0], part[1]):
        one = like(1.0, scales[j])
        scales[j] = one / np.sqrt(variances[j] + like(EPSILON, one))


@_loops
def _set_statistics(y, batch, batch_means, part, means, variances, scales):
    """Set scales from the batch, and move the running statistics towards it."""
    first, last = part
    n, one = like(batch, y[0, 0]), like(1.0, y[0, 0])
    rest, share = like(1.0 - MOMENTUM, one), like(MOMENTUM, one)
    unbiased = like(MOMENTUM * batch / (batch - 1), one)
    for j in range(first, last):
        scales[j] = like(0.0, one)
    for i in range(np.uint64(batch)):
        for j in range(last - first):
            centred = y[i, first + j] - batch_means[j]
            scales[first + j] += centred * centred
    for j in range(last - first):
        k = first + j
        variance = scales[k] / n
        means[k] = muladd(rest, means[k], share * batch_means[j])
        variances[k] = muladd(rest, variances[k], unbiased * variance)
        scales[k] = one / np.sqrt(variance + like(EPSILON, one))


@_loops
def _normalize(y, batch, means, scales, part, normalized):
    """Set normalized to (y - mean) · scale; means: of the part's columns."""
    first, last = part
    for i in range(np.uint64(batch)):
        for j in range(last - first):
            k = first + j
            normalized[i, k] = (y[i, k] - means[j]) * scales[k]


@_loops
def _multiply(normalized, batch, gammas, part, y):
    """Set columns of y to gamma times the normalized ones."""
    for i in range(np.uint64(batch)):
        for j in range(part[0], part[1]):
            y[i, j] = gammas[j] * normalized[i, j]


@_loops
def _sum_gradients(dz, normalized, batch, part, sums):
    """Set sums, (2, the part's columns), to dbias and dgamma."""
    first, last = part
    for j in range(last - first):
        sums[0, j] = sums[1, j] = like(0.0, dz[0, 0])
    for i in range(np.uint64(batch)):
        for j in range(last - first):
            dy = dz[i, first + j]
            sums[0, j] += dy
            sums[1, j] += dy * normalized[i, first + j]


@_loops
def _add_sums(sums, part, add, dbias, dgamma):
    """Set the gradients to the sums, or add the sums to them."""
    first, last = part
    for j in range(last - first):
        k = first + j
        dbias[k] = sums[0, j] + dbias[k] if add else sums[0, j]
        dgamma[k] = sums[1, j] + dgamma[k] if add else sums[1, j]


@_loops
def _center(dz, normalized, batch, part, sums, gammas, scales):
    """Subtract from dz its mean and its component along `normalized`, and scale it."""
    first, last = part
    n = like(batch, dz[0, 0])
    for i in range(np.uint64(batch)):
        for j in range(last - first):
            k = first + j
            centred = dz[i, k] - sums[0, j] / n - normalized[i, k] * (sums[1, j] / n)
            dz[i, k] = centred * (gammas[k] * scales[k])
