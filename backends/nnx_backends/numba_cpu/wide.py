"""Products of wide layers, tiled in vector registers, on weights stored in panels.

A wide layer's weight is stored as contiguous panels, (panels, in_features, columns),
each a few vectors wide. A product reads it from one end to the other without copying it
first; for a batch of 64, that copy is a third of a BLAS call. A tile of the result has
a few rows and a panel's columns. Arrays are padded with zeros to whole tiles.
"""

from functools import cache
from typing import Any

import numpy as np

from nnx_backends.numba_cpu import nonzero
from nnx_backends.numba_cpu.cache import inner_njit
from nnx_backends.numba_cpu.elementary import LOOP, like
from nnx_backends.numba_cpu.kernel import Kernel
from nnx_backends.numba_cpu.records import (
    inputs_at,
    of_units,
    own_columns,
    own_panels,
    own_products,
    scratch,
    units_gradient,
)
from nnx_backends.numba_cpu.team import partition
from nnx_backends.numba_cpu.tiles import (
    COLUMNS,
    DX_COLUMNS,
    DX_WIDTH,
    moved,
    tile_product,
    transpose,
)
from nnx_backends.numba_cpu.vectors import (
    ROWS,
    VECTOR,
    Matrix,
    pointer,
    pointer_at,
)

WHOLE = 12  # rows, or vectors, that make whole tiles, or panels, of any size
# Images whose inputs and outputs stay in the L2 cache, in whole tiles.
PART = 132
# Numbers of a matrix that are packed for the tiles, in a part of the L2 cache.
PACKED = 2**15
LISTED = 2**15  # places in a thread's lists
TILE = max(ROWS.values()) * COLUMNS  # numbers of a tile, which scratch has room for
SCRATCH = TILE + PACKED

# Set for each kernel. tile: multiplies `rows` rows; list_inputs: lists their inputs
tile: Any = None
rows: Any = None
list_inputs: Any = None


@inner_njit()
def x_of(run, layer, step):
    """Return a layer's inputs."""
    return Matrix(pointer_at(inputs_at(layer, step), run.one), 0, layer.x_stride, 1)


@inner_njit()
def dz_of(run, layer):
    """Return the gradient of a layer's products."""
    return Matrix(pointer_at(layer.dz, run.one), 0, layer.stride, 1)


@inner_njit()
def panels_at(address, run, layer):
    """Return a layer's panels in a flat array, one below the other."""
    return Matrix(pointer_at(address, run.one), layer.weight_at, layer.columns, 1)


@inner_njit()
def weight_of(run, layer):
    """Return a layer's panels, one below the other."""
    return panels_at(run.parameters, run, layer)


@inner_njit()
def numbers(terms):
    """Return how many numbers hold so many terms of a sum."""
    return terms


@inner_njit()
def packing(run, step, columns):
    """Return this thread's memory for packed numbers, in rows of `columns`."""
    return Matrix(pointer(scratch(run, step, 1, SCRATCH)), TILE, columns, 1)


def _multiply(run, layer, step, hyper):
    """Set this thread's panels of y to x @ weight."""
    x, columns = x_of(run, layer, step), layer.columns
    y = Matrix(pointer_at(layer.y, run.one), 0, layer.stride, 1)
    w = weight_of(run, layer)
    zero, panels = like(0.0, run.one), own_panels(layer, step)
    for first in range(0, step.batch, PART):
        last = min(first + PART, step.batch)
        for p in range(panels[0], panels[1]):
            b = moved(w, numbers(p * layer.rows) * columns)
            for i in range(first, last, rows):
                a, c = moved(x, i * x.row), moved(y, i * y.row + p * columns)
                tile(a, b, c, layer.inputs, run.one, zero)


def _multiply_listed(run, layer, step, hyper):
    """Set this thread's part of y to x @ weight, skipping inputs that are 0."""
    x, columns = x_of(run, layer, step), layer.columns
    y = Matrix(pointer_at(layer.y, run.one), 0, layer.stride, 1)
    w = weight_of(run, layer)
    zero, (images, panels) = like(0.0, run.one), own_products(layer, step)
    marks, lists = nonzero.marks_of(run, layer, step), nonzero.lists_of(run, step)
    room = numbers(layer.inputs) + nonzero.BESIDES
    part = max(rows, min(PART, LISTED // room * rows))
    for first in range(images[0], images[1], part):
        last = min(first + part, images[1])
        for p in range(panels[0], panels[1]):
            b, at = moved(w, numbers(p * layer.rows) * columns), 0
            for i in range(first, last, rows):
                if p == panels[0]:
                    list_inputs(marks, i, layer.inputs, lists, at)
                a, c = moved(x, i * x.row), moved(y, i * y.row + p * columns)
                tile(a, b, c, nonzero.terms(lists, at), run.one, zero)
                at += room


def _input_gradient(run, layer, step, hyper):
    """Set this thread's columns of dx to dz @ weight.T.

    As many rows of the weight as a tile has columns are transposed, once for all
    images. Rows that are too long for this are taken in parts, and the sums in the same
    parts, which end at the same units whatever the panels' width.
    """
    lanes = np.int64(VECTOR // run.itemsize)
    width = DX_WIDTH * lanes
    dz, dx = dz_of(run, layer), pointer_at(layer.dx, run.one)
    dx = Matrix(dx, 0, layer.x_stride, 1)
    packed = packing(run, step, width)
    left, right = partition(layer.inputs, DX_COLUMNS, step)
    count = PACKED // width // (WHOLE * lanes) * WHOLE * lanes // layer.columns
    for k in range(left, right, width):
        for p in range(0, layer.panels, count):
            panels = p, min(p + count, layer.panels)
            _transpose(run, layer, panels, k, packed)
            first, keep = p * layer.columns, like(p > 0, run.one)
            depth = panels[1] * layer.columns - first
            for i in range(0, step.batch, rows):
                a, c = moved(dz, i * dz.row + first), moved(dx, i * dx.row + k)
                tile(a, packed, c, depth, run.one, keep)


@inner_njit()
def _transpose(run, layer, panels, k, packed):
    """Set packed to the rows of panels from k on, transposed."""
    w, lanes = panels_at(run.parameters, run, layer), np.int64(VECTOR // run.itemsize)
    for p in range(panels[0], panels[1]):
        for j in range(0, layer.columns, lanes):
            row = moved(packed, ((p - panels[0]) * layer.columns + j) * packed.row)
            for i in range(0, packed.row, lanes):
                a = moved(w, (p * layer.rows + k + i) * layer.columns + j)
                transpose(a, moved(row, i))


def _sum_biases(run, layer, step, hyper):
    """Set the gradient of this thread's biases to sums over the batch, or add them."""
    dz, sums = of_units(run, layer, layer.dz), units_gradient(run, layer, layer.bias_at)
    _sum_rows(dz, step.batch, own_columns(layer, step), sums, step.row > step.top)


SUM_BIASES = Kernel(_sum_biases, "wide")


INPUT_GRADIENT = Kernel(
    _input_gradient, "wide", tile=tile_product(DX_WIDTH), rows=ROWS[DX_WIDTH]
)


@cache
def multiply(
    width: int, *, listed: bool, words: bool = False, **factors: Any
) -> Kernel:
    """Return the kernel of a layer's products; width: of a panel, in vectors.

    listed: whether it is the first layer's, which skips inputs that are 0
    words: whether the factors are words of two terms, see `bfloat16`
    factors: the replacements for `x_of`, `weight_of` and `numbers` that words need
    """
    rows, kind = ROWS[width], f"{width}_rounded" if words else str(width)
    names = {"tile": tile_product(width, words=words), "rows": rows, **factors}
    if not listed:
        return Kernel(_multiply, kind, **names)
    names["list_inputs"] = nonzero.listing_inputs(rows, pairs=words)
    return Kernel(_multiply_listed, kind, **names)


@inner_njit(fastmath=LOOP, error_model="numpy")
def _sum_rows(dz, batch, columns, sums, add):
    """Set columns of sums to the sums of dz over the batch, or add them."""
    first, last = np.uint64(columns[0]), np.uint64(columns[1])
    if not add:
        for j in range(first, last):
            sums[j] = like(0.0, dz[0, 0])
    for i in range(np.uint64(batch)):
        for j in range(first, last):
            sums[j] += dz[i, j]
