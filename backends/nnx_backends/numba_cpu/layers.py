"""One thread's part of a layer's output, gradient and update.

Between two barriers no thread writes what another reads; the barriers are the steps'.
"""

import numpy as np
from numba import njit

from nnx_backends.numba_cpu import activations, narrow, optimizers, wide
from nnx_backends.numba_cpu.activations import LOOP, block
from nnx_backends.numba_cpu.elementary import like
from nnx_backends.numba_cpu.team import partition
from nnx_backends.numba_cpu.vectors import pointer

GRAIN = 16  # units: a cache line of float32
IMAGES = 4  # images: the height of a tile


@njit(nogil=True)
def is_narrow(place):
    """Return whether a layer is shared out by images, and not by units."""
    return place.columns == 1


@njit(nogil=True)
def outputs(flat, place):
    """Return a layer's matrix of its outputs, or of their gradient."""
    size = place.batch * place.stride
    matrix = flat[place.output_at : place.output_at + size]
    return matrix.reshape((place.batch, place.stride))


@njit(nogil=True)
def _narrow_weight(parameters, place):
    """Return a narrow layer's weight, (out_features, in_features)."""
    flat = parameters[place.weight_at : place.bias_at]
    return flat.reshape((place.outputs, place.inputs))


@njit(nogil=True)
def _wide_weight(parameters, place):
    """Return a wide layer's weight, (panels, rows, columns)."""
    flat = parameters[place.weight_at : place.bias_at]
    return flat.reshape((place.panels, place.rows, place.columns))


@njit(nogil=True)
def _columns(place, panels):
    """Return the units of some of a wide layer's panels, first and last + 1."""
    first, last = panels[0] * place.columns, panels[1] * place.columns
    return min(first, place.outputs), min(last, place.outputs)


@njit(nogil=True)
def forward(place, parameters, x, y, batch, team):
    """Set this thread's part of y = f(x @ weight + bias); return which block it is."""
    if is_narrow(place):
        rows = partition(batch, IMAGES, team)
        narrow.product(x, _narrow_weight(parameters, place), y, rows)
        part = block(rows, (0, place.outputs))
    else:
        panels = partition(place.panels, 1, team)
        w = _wide_weight(parameters, place)
        wide.product(x, w, y, batch, place.inputs, panels)
        part = block((0, batch), _columns(place, panels))
    bias = parameters[place.bias_at : place.bias_at + place.outputs]
    activations.forward(place.activation, y, bias, part)
    return part


@njit(nogil=True)
def backward(place, parameters, dz, dx, batch, team):
    """Set this thread's part of dx = dz @ weight.T; return which block it is."""
    if is_narrow(place):
        rows = partition(batch, IMAGES, team)
        narrow.input_gradient(dz, _narrow_weight(parameters, place), dx, rows)
        return block(rows, (0, place.inputs))
    columns = partition(place.inputs, GRAIN, team)
    wide.input_gradient(dz, _wide_weight(parameters, place), dx, batch, columns)
    return block((0, batch), columns)


@njit(nogil=True)
def update(place, parameters, optimizer, x, dz, step, team):
    """Take the optimizer's step with this thread's part of a layer.

    step: its batch's images in `index`, and `sums` to use; see `steps.Step`
    """
    batch, sums = len(step.index), step.sums
    rate = optimizer.learning_rate
    keep = optimizer.keep - rate * optimizer.l2
    if is_narrow(place):
        columns = partition(place.inputs, GRAIN, team)
        if optimizers.needs_gradient(optimizer):
            narrow.optimize(x, dz, batch, place, columns, optimizer, sums)
        else:
            w = _narrow_weight(parameters, place)
            narrow.descend(x, dz, w, batch, columns, rate, keep, sums)
        if team.rank == 0:
            _sum_columns(dz, batch, place.outputs, sums[0])
            gradient = pointer(sums[0])
            optimizers.step_biases(optimizer, gradient, place.bias_at, place.outputs)
        return
    panels, w = partition(place.panels, 1, team), _wide_weight(parameters, place)
    if optimizers.needs_gradient(optimizer):
        wide.optimize(x, dz, batch, place, panels, optimizer, sums.reshape(-1))
    else:
        wide.descend(x, dz, w, batch, place.inputs, panels, rate, keep)
    if optimizer.max_norm > 0:
        wide.bound_norms(w, panels, optimizer.max_norm, sums[0])
    first, last = _columns(place, panels)
    _sum_rows(dz, batch, first, last)
    gradient, at = pointer(dz[0][first:]), place.bias_at + first
    optimizers.step_biases(optimizer, gradient, at, last - first)


@njit(nogil=True)
def bound_narrow_norms(place, parameters, max_norm, team):
    """Bound the norms of a narrow layer's units, which several threads have updated."""
    if is_narrow(place):
        units = partition(place.outputs, 1, team)
        narrow.bound_norms(_narrow_weight(parameters, place), units, max_norm)


@njit(nogil=True, fastmath=LOOP, error_model="numpy")
def _sum_rows(dz, batch, left, right):
    """Set columns [left, right) of dz's first row to the sums over the batch.

    Nobody else reads these columns, and this thread is done with them.
    """
    first, last = np.uint64(left), np.uint64(right)
    for i in range(np.uint64(1), np.uint64(batch)):
        for j in range(first, last):
            dz[0, j] += dz[i, j]


@njit(nogil=True, fastmath=LOOP, error_model="numpy")
def _sum_columns(dz, batch, m, sums):
    """Set sums to those of dz, (batch, m), over the batch.

    Summed first: taken off image by image, it would be rounded to the bias's size.
    """
    for j in range(np.uint64(m)):
        total = like(0.0, dz[0, 0])
        for i in range(np.uint64(batch)):
            total += dz[i, j]
        sums[j] = total
