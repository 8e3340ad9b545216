"""Products of wide layers, tiled in vector registers, on weights stored in panels.

A wide layer's weight is stored as panels of a few vectors' columns, each contiguous,
(panels, in_features, columns): a product reads it from one end to the other and nothing
is copied first, which for a batch of 64 is a third of a BLAS call. A tile is `ROWS`
rows and a panel's columns of the result. Arrays are padded with zeros to whole tiles.
"""

from functools import cache
from typing import Any

import numpy as np

from nnx_backends.numba_cpu import optimizers
from nnx_backends.numba_cpu.cache import inner_njit
from nnx_backends.numba_cpu.elementary import LOOP, like
from nnx_backends.numba_cpu.kernel import Kernel
from nnx_backends.numba_cpu.records import (
    GRAIN,
    inputs_at,
    of_units,
    own_columns,
    own_panels,
    scratch,
    units_gradient,
    weight,
)
from nnx_backends.numba_cpu.team import partition
from nnx_backends.numba_cpu.tiles import DOTS, FEW, PRODUCTS, ROWS
from nnx_backends.numba_cpu.vectors import Matrix, pointer, pointer_at

WHOLE = 12  # what rows and columns are padded to, whole tiles of both
# Rows of a weight that are used again and again from the second cache.
BLOCK = 64
# Images whose inputs and outputs are used again and again from there; whole tiles.
PART = 132


# Each kernel's own.
tile: Any = None
dots: Any = None
take_step: Any = None
add_gradient: Any = None


@inner_njit()
def _inputs(run, layer, step):
    """Return a layer's inputs."""
    return Matrix(pointer_at(inputs_at(layer, step), run.one), 0, layer.x_stride, 1)


@inner_njit()
def _moved(a, at):
    """Return a matrix that begins so many numbers later."""
    return Matrix(a.data, a.at + at, a.row, a.column)


def _multiply(run, layer, step, hyper):
    """Set this thread's panels of y to x @ weight."""
    x, columns = _inputs(run, layer, step), layer.columns
    y = Matrix(pointer_at(layer.y, run.one), 0, layer.stride, 1)
    w = Matrix(pointer_at(run.parameters, run.one), layer.weight_at, columns, 1)
    zero, panels = like(0.0, run.one), own_panels(layer, step)
    for first in range(0, step.batch, PART):
        last = min(first + PART, step.batch)
        for p in range(panels[0], panels[1]):
            b = _moved(w, p * layer.rows * columns)
            for i in range(first, last, ROWS):
                a, c = _moved(x, i * x.row), _moved(y, i * y.row + p * columns)
                tile(a, b, c, layer.inputs, run.one, zero)


def _descend(run, layer, step, hyper):
    """Set this thread's panels of the weight to keep · weight - rate · x.T @ dz.

    The gradient is never stored.
    """
    rate, keep = optimizers.rate_and_keep(hyper, run.one)
    add_gradient(run, layer, (0, step.batch), step, run.parameters, -rate, keep)


def _store(run, layer, step, hyper):
    """Set this thread's panels of the weight's gradient, or add to them."""
    for first in range(0, step.batch, PART):
        images = first, min(first + PART, step.batch)
        keep = like(step.row + first > 0, run.one)
        add_gradient(run, layer, images, step, run.gradients, run.one, keep)


def _add_gradient(width):
    """Return a compiled function of a kernel's arguments and what it adds to."""
    tile = PRODUCTS[width]

    @inner_njit()
    def add(run, layer, images, step, address, factor, keep):
        """Set panels of a matrix to keep times them, plus factor · x.T @ dz.

        images: of the block, the first and the last + 1
        """
        x, columns = _inputs(run, layer, step), layer.columns
        dz = Matrix(pointer_at(layer.dz, run.one), 0, layer.stride, 1)
        w = Matrix(pointer_at(address, run.one), layer.weight_at, columns, 1)
        panels = own_panels(layer, step)
        first, last = images
        for p in range(panels[0], panels[1]):
            b = _moved(dz, first * dz.row + p * columns)
            for k in range(0, layer.inputs, ROWS):
                a = Matrix(x.data, first * x.row + k, 1, x.row)
                c = _moved(w, (p * layer.rows + k) * columns)
                tile(a, b, c, last - first, factor, keep)

    return add


def _optimize(run, layer, step, hyper):
    """Take an optimizer's step with this thread's panels of the weight."""
    x, columns = _inputs(run, layer, step), layer.columns
    dz = Matrix(pointer_at(layer.dz, run.one), 0, layer.stride, 1)
    c = Matrix(pointer(scratch(run, step, ROWS, columns)), 0, columns, 1)
    optimizer, zero = optimizers.of_step(run, step, hyper), like(0.0, run.one)
    panels, count = own_panels(layer, step), np.uint64(ROWS * columns)
    for p in range(panels[0], panels[1]):
        b = _moved(dz, p * columns)
        for k in range(0, layer.inputs, ROWS):
            tile(Matrix(x.data, k, 1, x.row), b, c, step.batch, run.one, zero)
            at = np.uint64(layer.weight_at + (p * layer.rows + k) * columns)
            take_step(optimizer, c.data, at, count, optimizer.penalty)


def _input_gradient(run, layer, step, hyper):
    """Set this thread's columns of dx to dz @ weight.T."""
    dz = Matrix(pointer_at(layer.dz, run.one), 0, layer.stride, 1)
    dx = Matrix(pointer_at(layer.dx, run.one), 0, layer.x_stride, 1)
    w, panel = pointer_at(run.parameters, run.one), layer.rows * layer.columns
    left, right = partition(layer.inputs, GRAIN, step)
    for first in range(left, right, BLOCK):
        for i in range(0, step.batch, FEW):
            a = _moved(dz, i * dz.row)
            for k in range(first, min(first + BLOCK, right), 4):
                b = Matrix(w, layer.weight_at + k * layer.columns, panel, 1)
                dots(a, b, _moved(dx, i * dx.row + k), layer.panels)


def _sum_biases(run, layer, step, hyper):
    """Set the gradient of this thread's biases to sums over the batch, or add them."""
    dz, sums = of_units(run, layer, layer.dz), units_gradient(run, layer, layer.bias_at)
    _sum_rows(dz, step.batch, own_columns(layer, step), sums, step.row > 0)


def _bound_norms(run, layer, step, hyper):
    """Make this thread's units shorter whose norm is above the largest allowed."""
    w = weight(run, run.parameters, layer)
    norms = scratch(run, step, 1, layer.columns)[0]
    _bound_panels(w, own_panels(layer, step), like(hyper.max_norm, run.one), norms)


SUM_BIASES = Kernel(_sum_biases, "wide")
BOUND_NORMS = Kernel(_bound_norms, "wide")


@cache
def multiply(width: int) -> Kernel:
    """Return the kernel of a layer's products; a panel has so many vectors' columns."""
    return Kernel(_multiply, str(width), tile=PRODUCTS[width])


@cache
def input_gradient(width: int) -> Kernel:
    """Return the kernel of the gradient of a layer's inputs."""
    return Kernel(_input_gradient, str(width), dots=DOTS[width])


@cache
def descend(width: int) -> Kernel:
    """Return the kernel of a step of SGD without L1."""
    return Kernel(_descend, str(width), add_gradient=_add_gradient(width))


@cache
def store(width: int) -> Kernel:
    """Return the kernel that stores the gradient."""
    return Kernel(_store, str(width), add_gradient=_add_gradient(width))


@cache
def optimize(width: int, name: str) -> Kernel:
    """Return the kernel of another optimizer's step."""
    loop = optimizers.LOOPS[name]
    return Kernel(_optimize, f"{width}_{name}", tile=PRODUCTS[width], take_step=loop)


@inner_njit(fastmath=LOOP, error_model="numpy")
def _sum_rows(dz, batch, columns, sums, add):
    """Set columns of sums to those of dz over the batch, or add to them."""
    first, last = np.uint64(columns[0]), np.uint64(columns[1])
    if not add:
        for j in range(first, last):
            sums[j] = like(0.0, dz[0, 0])
    for i in range(np.uint64(batch)):
        for j in range(first, last):
            sums[j] += dz[i, j]


@inner_njit(fastmath=LOOP, error_model="numpy")
def _bound_panels(w, panels, max_norm, norms):
    """Make columns of panels shorter whose norm is above the largest allowed.

    norms: (at least a panel's columns,), for use here
    """
    rows, columns = np.uint64(w.shape[1]), np.uint64(w.shape[2])
    one = like(1.0, max_norm)
    for p in range(panels[0], panels[1]):
        panel, above = w[p], False
        for j in range(columns):
            norms[j] = like(0.0, max_norm)
        for k in range(rows):
            for j in range(columns):
                norms[j] += panel[k, j] * panel[k, j]
        for j in range(columns):
            norm = np.sqrt(norms[j])
            above |= norm > max_norm
            norms[j] = max_norm / norm if norm > max_norm else one
        if above:
            for k in range(rows):
                for j in range(columns):
                    panel[k, j] *= norms[j]
