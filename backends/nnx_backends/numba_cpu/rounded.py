"""Products of wide layers whose factors are rounded to bfloat16; sums are float32.

Parameters, outputs and gradients stay float32. The thread that sets a factor rounds it,
once per block of images; for the input gradient, a weight is rounded while it is
transposed. Zeros among the first layer's inputs are skipped, as in `wide`.
"""

from typing import Any

import numpy as np

from nnx_backends.numba_cpu import nonzero, wide
from nnx_backends.numba_cpu.bfloat16 import neighbours, pairing, rows_together, twice
from nnx_backends.numba_cpu.cache import inner_njit
from nnx_backends.numba_cpu.elementary import like
from nnx_backends.numba_cpu.kernel import Kernel
from nnx_backends.numba_cpu.layout import Place
from nnx_backends.numba_cpu.records import (
    IMAGES,
    block,
    own_columns,
    own_outputs,
    own_panels,
    own_weights,
    pixel_parts,
    scratch,
)
from nnx_backends.numba_cpu.team import partition
from nnx_backends.numba_cpu.tiles import (
    DX_COLUMNS,
    DX_WIDTH,
    moved,
    tile_product,
    transpose,
)
from nnx_backends.numba_cpu.vectors import ROWS, Matrix, pointer, pointer_at
from nnx_backends.numba_cpu.wide import (
    LISTED,
    PACKED,
    TILE,
    packing,
    panels_at,
    x_of,
)

LANES = 16  # float32 numbers, or words, in a vector

# Set for each kernel. own: the part of a gradient or a weight that a thread has set
own: Any = None
tile: Any = None
rows: Any = None


def scratch_size(places: list[Place]) -> int:
    """Return the size of a thread's scratch, for transposed rows of a weight."""
    longest = max(place.panels * place.columns for place in places)
    return TILE + max(PACKED, longest // 2 * DX_COLUMNS)


@inner_njit()
def _words(address, row, run):
    """Return the matrix of words at an address; row: bfloat16 numbers per row."""
    return Matrix(pointer_at(address, run.one), 0, row // 2, 1)


@inner_njit()
def _x_of(run, layer, step):
    """Return a layer's inputs, in words of two neighboring columns."""
    address = layer.x_rounded + step.turn * (layer.x_turn // 2)
    return _words(address, layer.x_stride, run)


@inner_njit()
def _round(numbers, stride, part, words):
    """Round a block of numbers to words of two neighboring columns."""
    for i in range(part.top, part.bottom):
        for j in range(part.left, part.right, np.uint64(LANES)):
            at = i * np.uint64(stride) + j
            neighbours(moved(numbers, at), moved(words, at // np.uint64(2)))


def _round_images(run, layer, step, hyper):
    """Round the images that this thread has set."""
    part = pixel_parts(layer, step)[0]
    _round(x_of(run, layer, step), layer.x_stride, part, _x_of(run, layer, step))


def _round_outputs(run, layer, step, hyper):
    """Round this thread's outputs, which are the next layer's factors."""
    y = Matrix(pointer_at(layer.y, run.one), 0, layer.stride, 1)
    words = _words(layer.y_rounded, layer.stride, run)
    _round(y, layer.stride, own_outputs(layer, step), words)


def _round_gradient(run, layer, step, hyper):
    """Round this thread's block of dz to words of one number twice and of neighbors.

    Only the input gradient needs the latter; the first layer has no input gradient.
    """
    part, stride = own(layer, step), layer.stride
    dz = Matrix(pointer_at(layer.dz, run.one), 0, stride, 1)
    if layer.number > 0:
        _round(dz, stride, part, _words(layer.dz_rounded, stride, run))
    doubled = Matrix(pointer_at(layer.dz_twice, run.one), 0, stride, 1)
    for i in range(part.top, part.bottom):
        for j in range(part.left, part.right, np.uint64(LANES)):
            at = i * np.uint64(stride) + j
            twice(moved(dz, at), moved(doubled, at))


@inner_njit()
def _rows(layer, step):
    return block(partition(step.batch, IMAGES, step), (0, layer.outputs))


@inner_njit()
def _units(layer, step):
    return block((0, step.batch), own_columns(layer, step))


@inner_njit()
def _columns(layer, step):
    return block((0, step.batch), partition(layer.outputs, DX_COLUMNS, step))


ROUND_IMAGES, ROUND_OUTPUTS = Kernel(_round_images), Kernel(_round_outputs)
# For a gradient that the loss or a narrow layer has set, batch normalization, and a
# wide layer
ROUND_ROWS = Kernel(_round_gradient, "rows", own=_rows)
ROUND_UNITS = Kernel(_round_gradient, "units", own=_units)
ROUND_COLUMNS = Kernel(_round_gradient, "columns", own=_columns)


@inner_njit()
def _weight_of(run, layer):
    """Return a layer's panels, one below the other, in words of two rows' numbers."""
    return panels_at(run.rounded, run, layer)


@inner_njit()
def _numbers(terms):
    """Return how many words hold so many terms."""
    return (terms + 1) // 2


def _round_weight(run, layer, step, hyper):
    """Round the part of the weight that this thread has changed last."""
    w, words = panels_at(run.parameters, run, layer), _weight_of(run, layer)
    inputs, panels = own(layer, step)
    for p in range(panels[0], panels[1]):
        for k in range(inputs[0], inputs[1], 2):
            at = (p * layer.rows + k) * layer.columns
            for j in range(0, layer.columns, LANES):
                rows_together(moved(w, at + j), moved(words, at // 2 + j))


@inner_njit()
def _whole_panels(layer, step):
    return (0, layer.inputs), own_panels(layer, step)


# For a weight changed by the kernel of its gradient, and for one changed by others
ROUND_WEIGHT = Kernel(_round_weight, "tiles", own=own_weights)
ROUND_PANELS = Kernel(_round_weight, "panels", own=_whole_panels)


def _input_gradient(run, layer, step, hyper):
    """Set this thread's columns of dx to dz @ weight.T."""
    dz, dx = _words(layer.dz_rounded, layer.stride, run), pointer_at(layer.dx, run.one)
    dx, depth = Matrix(dx, 0, layer.x_stride, 1), layer.panels * layer.columns
    packed = packing(run, step, DX_COLUMNS)
    left, right = partition(layer.inputs, DX_COLUMNS, step)
    for k in range(left, right, DX_COLUMNS):
        _transpose(run, layer, k, step, packed)
        for i in range(0, step.batch, rows):
            a, c = moved(dz, i * dz.row), moved(dx, i * dx.row + k)
            tile(a, packed, c, depth, run.one, like(0.0, run.one))


@inner_njit()
def _transpose(run, layer, k, step, packed):
    """Round and transpose rows of the weight from k on, to words of two units."""
    w, size = panels_at(run.parameters, run, layer), LANES
    square = Matrix(pointer(scratch(run, step, 1, TILE)), 0, size, 1)
    for p in range(layer.panels):
        for j in range(0, layer.columns, 2 * size):
            row = moved(packed, (p * layer.columns + j) // 2 * packed.row)
            for first in range(0, packed.row, size):
                for i in range(size):
                    at = (p * layer.rows + k + first + i) * layer.columns + j
                    own = moved(square, i * size)
                    neighbours(moved(w, at), own)
                    neighbours(moved(w, at + size), moved(own, size // 2))
                transpose(square, moved(row, first))


_own = {"tile": tile_product(DX_WIDTH, words=True), "rows": ROWS[DX_WIDTH]}
INPUT_GRADIENT = Kernel(_input_gradient, "rounded", **_own)


def multiply(width: int, *, listed: bool) -> Kernel:
    """Return the kernel of a layer's products; see `wide.multiply`."""
    factors = {"x_of": _x_of, "weight_of": _weight_of, "numbers": _numbers}
    return wide.multiply(width, listed=listed, words=True, **factors)


def over(width: int, use: Any, *, listed: bool) -> Any:
    """Return a compiled function that uses each tile of x.T @ dz; see `wide_update`.

    A word has the numbers of two of the listed images.
    """
    tile, rows = tile_product(width, packed=True, words=True), ROWS[width]
    list_images = nonzero.listing_images(rows) if listed else nonzero.list_all
    pair = pairing(rows)

    @inner_njit()
    def over(run, layer, images, step, goal):
        """Use this thread's tiles; images: the first and the last + 1."""
        x, columns = _x_of(run, layer, step), layer.columns
        dz = Matrix(pointer_at(layer.dz_twice, run.one), 0, layer.stride, 1)
        marks, lists = nonzero.marks_of(run, layer, step), nonzero.lists_of(run, step)
        packed, (inputs, panels) = packing(run, step, rows), own_weights(layer, step)
        depth = images[1] - images[0]
        room = depth + nonzero.BESIDES
        height = min(2 * PACKED // (depth + 1) // rows, LISTED // room) * rows
        for top in range(inputs[0], inputs[1], height):
            bottom = min(top + height, inputs[1])
            for p in range(panels[0], panels[1]):
                b, at = moved(dz, images[0] * dz.row + p * columns), 0
                for k in range(top, bottom, rows):
                    a = moved(packed, (k - top) * ((depth + 1) // 2))
                    a = Matrix(a.data, a.at, 1, rows)
                    if p == panels[0]:
                        list_images(marks, k, images, lists, at)
                        _pack(moved(x, images[0] * x.row), k, lists, at, a)
                    terms = nonzero.pairs(lists, at)
                    use(tile, goal, a, b, (p * layer.rows + k) * columns, terms, layer)
                    at += room

    @inner_njit()
    def _pack(x, k, lists, at, a):
        """Pack the columns of x from k on, two of the listed images in each word.

        If their number is odd, the last is listed twice, and is 0 the second time.
        """
        count = np.int64(lists[at])
        lists[at + 1 + count] = lists[at + count]
        for i in range(0, count, 2):
            first, second = lists[at + 1 + i], lists[at + 2 + i]
            row = moved(x, first * x.row + k // 2)
            other = moved(x, second * x.row + k // 2)
            pair(row, other, moved(a, i // 2 * rows), i + 1 < count)

    return over
