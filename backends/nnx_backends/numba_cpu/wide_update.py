"""The gradient of a wide layer's weight, tile by tile, and the use of each tile.

The columns of x that a tile reads are packed first. In x, every image's are in another
cache line, and waiting for these took half of the time.
"""

from functools import cache
from typing import Any

import numpy as np

from nnx_backends.numba_cpu import nonzero, optimizers, rounded
from nnx_backends.numba_cpu.cache import inner_njit
from nnx_backends.numba_cpu.elementary import like
from nnx_backends.numba_cpu.kernel import Kernel
from nnx_backends.numba_cpu.layout import LINE
from nnx_backends.numba_cpu.records import own_panels, own_weights, scratch
from nnx_backends.numba_cpu.tiles import (
    copying,
    fetch_to_write,
    moved,
    tile_product,
)
from nnx_backends.numba_cpu.vectors import ROWS, Matrix, pointer
from nnx_backends.numba_cpu.wide import (
    LISTED,
    PACKED,
    PART,
    TILE,
    dz_of,
    packing,
    panels_at,
    x_of,
)

FAR = 2**18  # weights; a larger layer is not in a near cache when it is next needed
AHEAD = np.uint64(3)  # tiles to prefetch; sums over blank pixels take no time

over_tiles: Any = None  # set for each kernel


def _descend(run, layer, step, hyper):
    """Set this thread's panels of the weight to keep · weight - rate · x.T @ dz.

    The gradient is never stored.
    """
    rate, keep = optimizers.rate_and_keep(hyper, run.one)
    goal = panels_at(run.parameters, run, layer), -rate, keep
    over_tiles(run, layer, (0, step.batch), step, goal)


def _store(run, layer, step, hyper):
    """Set this thread's panels of the weight's gradient, or add to them."""
    for first in range(0, step.batch, PART):
        images = first, min(first + PART, step.batch)
        keep = like(step.row + first > step.top, run.one)
        goal = panels_at(run.gradients, run, layer), run.one, keep
        over_tiles(run, layer, images, step, goal)


def _optimize(run, layer, step, hyper):
    """Take an optimizer's step with this thread's panels of the weight."""
    c = Matrix(pointer(scratch(run, step, 1, TILE)), 0, layer.columns, 1)
    goal = optimizers.of_step(run, step, hyper), c
    over_tiles(run, layer, (0, step.batch), step, goal)


def _over_tiles(width, use):
    """Return a compiled function that calls `use` for each tile of x.T @ dz.

    use(tile, goal, a, b, first, terms, layer): the tile is a @ b, summed over these
        terms, and belongs to the weight's numbers from `first` on
    """
    tile, rows = tile_product(width), ROWS[width]
    copy = copying(rows)

    @inner_njit()
    def over(run, layer, images, step, goal):
        """Use this thread's tiles; images: the first and the last + 1."""
        x, dz, columns = x_of(run, layer, step), dz_of(run, layer), layer.columns
        packed, panels = packing(run, step, rows), own_panels(layer, step)
        depth = images[1] - images[0]
        height = PACKED // depth // rows * rows
        for top in range(0, layer.inputs, height):
            bottom = min(top + height, layer.inputs)
            for k in range(top, bottom, rows):
                for i in range(depth):
                    a = moved(x, (images[0] + i) * x.row + k)
                    copy(a, moved(packed, (k - top) * depth + i * rows))
            for p in range(panels[0], panels[1]):
                b = moved(dz, images[0] * dz.row + p * columns)
                for k in range(top, bottom, rows):
                    a = Matrix(packed.data, packed.at + (k - top) * depth, 1, rows)
                    use(tile, goal, a, b, (p * layer.rows + k) * columns, depth, layer)

    return over


def _over_listed(width, use):
    """Return the same for the first layer, which skips inputs that are 0."""
    tile, rows = tile_product(width, packed=True), ROWS[width]
    list_images, copy = nonzero.listing_images(rows), copying(rows)

    @inner_njit()
    def over(run, layer, images, step, goal):
        """Use this thread's tiles; images: the first and the last + 1."""
        x, dz, columns = x_of(run, layer, step), dz_of(run, layer), layer.columns
        marks, lists = nonzero.marks_of(run, layer, step), nonzero.lists_of(run, step)
        packed, (inputs, panels) = packing(run, step, rows), own_weights(layer, step)
        depth = images[1] - images[0]
        room = depth + nonzero.BESIDES
        height = min(PACKED // depth // rows, LISTED // room) * rows
        for top in range(inputs[0], inputs[1], height):
            bottom = min(top + height, inputs[1])
            for p in range(panels[0], panels[1]):
                b, at = moved(dz, images[0] * dz.row + p * columns), 0
                for k in range(top, bottom, rows):
                    a = Matrix(packed.data, packed.at + (k - top) * depth, 1, rows)
                    if p == panels[0]:
                        list_images(marks, k, images, lists, at)
                        _pack(x, images[0], k, nonzero.terms(lists, at), a)
                    terms = nonzero.terms(lists, at)
                    use(tile, goal, a, b, (p * layer.rows + k) * columns, terms, layer)
                    at += room

    @inner_njit()
    def _pack(x, first, k, terms, a):
        """Pack the columns of x from k on, of the listed images."""
        for i in range(terms.number):
            image = first + terms.lists[terms.at + i]
            copy(moved(x, image * x.row + k), moved(a, i * rows))

    return over


def _over(width: int, use: Any, *, listed: bool, rounds: bool) -> Any:
    if rounds:
        return rounded.over(width, use, listed=listed)
    return _over_listed(width, use) if listed else _over_tiles(width, use)


@inner_njit()
def _add(tile, goal, a, b, first, terms, layer):
    """Set a tile of panels to keep · tile + factor · a @ b."""
    panels, factor, keep = goal
    tile(a, b, moved(panels, first), terms, factor, keep)


def _take_step(width, name):
    """Return the `use` that takes an optimizer's step with a tile of the weight."""
    take_step, rows = optimizers.LOOPS[name], ROWS[width]

    @inner_njit()
    def use(tile, goal, a, b, first, terms, layer):
        optimizer, c = goal
        one = like(1.0, optimizer.clip)
        at, count = np.uint64(layer.weight_at + first), np.uint64(rows * layer.columns)
        if layer.rows * layer.columns * layer.panels > FAR:
            later = at + AHEAD * count
            for i in range(later, later + count, np.uint64(LINE)):
                fetch_to_write(optimizer.parameters, i)
                fetch_to_write(optimizer.first, i)
                fetch_to_write(optimizer.second, i)
        tile(a, b, c, terms, one, like(0.0, one))
        take_step(optimizer, c.data, at, count, optimizer.penalty)

    return use


# listed: whether it is the first layer's, see `_over_listed`
# rounds: whether factors are rounded, see `rounded`


@cache
def descend(width: int, **how: bool) -> Kernel:
    """Return the kernel of a step of SGD without L1."""
    return Kernel(_descend, _kind(width, how), over_tiles=_over(width, _add, **how))


@cache
def store(width: int, **how: bool) -> Kernel:
    """Return the kernel that stores the gradient."""
    return Kernel(_store, _kind(width, how), over_tiles=_over(width, _add, **how))


@cache
def optimize(width: int, name: str, **how: bool) -> Kernel:
    """Return the kernel of another optimizer's step."""
    over = _over(width, _take_step(width, name), **how)
    return Kernel(_optimize, f"{name}_{_kind(width, how)}", over_tiles=over)


def _kind(width: int, how: dict[str, bool]) -> str:
    return "_".join([str(width), *(name for name, is_so in how.items() if is_so)])
