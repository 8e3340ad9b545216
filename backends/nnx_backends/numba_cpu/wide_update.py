"""The gradient of a wide layer's weight, tile by tile, and what is done with each.

The columns of x that a tile reads are put together first. Where they lie, every image's
are in another cache line, and half of the time was spent waiting for them.
"""

from functools import cache
from typing import Any

import numpy as np

from nnx_backends.numba_cpu import optimizers
from nnx_backends.numba_cpu.cache import inner_njit
from nnx_backends.numba_cpu.elementary import like
from nnx_backends.numba_cpu.kernel import Kernel
from nnx_backends.numba_cpu.layout import LINE
from nnx_backends.numba_cpu.records import own_panels, scratch
from nnx_backends.numba_cpu.tiles import PRODUCTS, copying, fetch, moved
from nnx_backends.numba_cpu.vectors import ROWS, Matrix, pointer
from nnx_backends.numba_cpu.wide import (
    PACKED,
    PART,
    TILE,
    dz_of,
    packing,
    panels_at,
    x_of,
)

over_tiles: Any = None  # each kernel's own


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
        keep = like(step.row + first > 0, run.one)
        goal = panels_at(run.gradients, run, layer), run.one, keep
        over_tiles(run, layer, images, step, goal)


def _optimize(run, layer, step, hyper):
    """Take an optimizer's step with this thread's panels of the weight."""
    c = Matrix(pointer(scratch(run, step, 1, TILE)), 0, layer.columns, 1)
    goal = optimizers.of_step(run, step, hyper), c
    over_tiles(run, layer, (0, step.batch), step, goal)


def _over_tiles(width, use):
    """Return a compiled function that uses each tile of x.T @ dz.

    use(goal, a, b, first, depth, layer): the tile is a @ b, a sum of so many products,
        and lies where the weight's numbers from that on do
    """
    tile, rows = PRODUCTS[width], ROWS[width]
    copy = copying(rows)

    @inner_njit()
    def over(run, layer, images, step, goal):
        """Use the tiles of this thread's panels; images: the first and the last + 1."""
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


@inner_njit()
def _add(tile, goal, a, b, first, depth, layer):
    """Set a tile of panels to keep times it, plus factor · a @ b."""
    panels, factor, keep = goal
    tile(a, b, moved(panels, first), depth, factor, keep)


def _take_step(width, name):
    """Return what takes an optimizer's step with a tile of the weight."""
    take_step, rows = optimizers.LOOPS[name], ROWS[width]

    @inner_njit()
    def use(tile, goal, a, b, first, depth, layer):
        optimizer, c = goal
        one = like(1.0, optimizer.clip)
        at, count = np.uint64(layer.weight_at + first), np.uint64(rows * layer.columns)
        # While the tile is summed: of a large network they lie in memory.
        for i in range(at, at + count, np.uint64(LINE)):
            fetch(optimizer.parameters, i)
            fetch(optimizer.first, i)
            fetch(optimizer.second, i)
        tile(a, b, c, depth, one, like(0.0, one))
        take_step(optimizer, c.data, at, count, optimizer.penalty)

    return use


@cache
def descend(width: int) -> Kernel:
    """Return the kernel of a step of SGD without L1."""
    return Kernel(_descend, str(width), over_tiles=_over_tiles(width, _add))


@cache
def store(width: int) -> Kernel:
    """Return the kernel that stores the gradient."""
    return Kernel(_store, str(width), over_tiles=_over_tiles(width, _add))


@cache
def optimize(width: int, name: str) -> Kernel:
    """Return the kernel of another optimizer's step."""
    over_tiles = _over_tiles(width, _take_step(width, name))
    return Kernel(_optimize, f"{width}_{name}", over_tiles=over_tiles)
