"""Products of wide layers, tiled in vector registers, on weights stored in panels.

A wide layer's weight is stored as panels of a few vectors' columns, each contiguous,
(panels, in_features, columns): a product reads it from one end to the other and nothing
is copied first, which for a batch of 64 is a third of a BLAS call. A tile is `ROWS`
rows and a panel's columns of the result; its sums stay in registers (Goto and van de
Geijn, "Anatomy of high-performance matrix multiplication", 2008). Arrays are padded
with zeros to whole tiles.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from nnx_backends.numba_kernels import optimizers
from nnx_backends.numba_kernels.activations import LOOP
from nnx_backends.numba_kernels.elementary import like
from nnx_backends.numba_kernels.vectors import VECTOR, WIDEST, Vectors

ROWS = 6  # of a product's tile
FEW = 4 if WIDEST == 4 else 2  # of an input gradient's tile, which has four columns
WHOLE = 12  # what rows and columns are padded to, whole tiles of both
# Rows of a weight that are used again and again from the second cache.
BLOCK = 64


def _product(width: int) -> Any:
    """Return a tile of C = alpha A B + beta C, of so many vectors' columns.

    Each matrix is a flat array, where the tile begins in it, and strides: A has one for
    rows and one for the steps of the sum. C is not read where beta is 0.
    """

    @intrinsic
    def tile(
        typing: Any, a: Any, a_at: Any, a_row: Any, a_step: Any, b: Any, b_at: Any,
        b_step: Any, c: Any, c_at: Any, c_row: Any, depth: Any, alpha: Any, beta: Any,
    ) -> Any:  # fmt: skip
        n, real = types.intp, a.dtype

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            code = Vectors(context, builder, real)
            a_at, a_row, a_step = args[1:4]
            b_at, b_step = args[5:7]
            c_at, c_row, depth, alpha, beta = args[8:]
            a_data, b_data, c_data = (
                code.data(kind, args[i]) for kind, i in ((a, 0), (b, 4), (c, 7))
            )
            lanes, totals = code.type.count, code.totals(ROWS * width)
            with cgutils.for_range(builder, depth) as loop:
                b_now = code.at(b_at, loop.index, b_step)
                columns = [
                    code.load(b_data, code.at(b_now, v, lanes)) for v in range(width)
                ]
                a_now = code.at(a_at, loop.index, a_step)
                for r in range(ROWS):
                    place = builder.gep(a_data, [code.at(a_now, r, a_row)])
                    number = code.broadcast(builder.load(place))
                    for v in range(width):
                        code.add_product(number, columns[v], totals[r * width + v])
            kept = builder.fcmp_ordered("!=", beta, ir.Constant(beta.type, 0.0))
            alpha, beta = code.broadcast(alpha), code.broadcast(beta)
            for i, total in enumerate(totals):
                builder.store(builder.fmul(alpha, builder.load(total)), total)
                place = code.at(code.at(c_at, i // width, c_row), i % width, lanes)
                with builder.if_then(kept):
                    code.add_product(beta, code.load(c_data, place), total)
                code.store(builder.load(total), c_data, place)
            return context.get_dummy_value()

        return types.void(a, n, n, n, b, n, n, c, n, n, n, real, real), generate

    return tile


def _dots(width: int) -> Any:
    """Return a tile of A Bᵀ: the products of a few rows of A and four of B.

    A's rows are contiguous; B lies in so many panels, of so many vectors' columns.
    """

    @intrinsic
    def tile(
        typing: Any, a: Any, a_at: Any, a_row: Any, b: Any, b_at: Any, panel: Any,
        panels: Any, c: Any, c_at: Any, c_row: Any,
    ) -> Any:  # fmt: skip
        n, real = types.intp, a.dtype

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            code = Vectors(context, builder, real)
            a_at, a_row = args[1:3]
            b_at, panel, panels = args[4:7]
            c_at, c_row = args[8:]
            a_data, b_data, c_data = (
                code.data(kind, args[i]) for kind, i in ((a, 0), (b, 3), (c, 7))
            )
            lanes, totals = code.type.count, code.totals(4 * FEW)
            columns = width * lanes
            with cgutils.for_range(builder, panels) as loop:
                a_now = code.at(a_at, loop.index, columns)
                b_now = code.at(b_at, loop.index, panel)
                for v in range(0, columns, lanes):
                    rows = [
                        code.load(a_data, code.at(code.at(a_now, r, a_row), 1, v))
                        for r in range(FEW)
                    ]
                    for d in range(4):
                        other = code.load(b_data, code.at(b_now, 1, d * columns + v))
                        for r in range(FEW):
                            code.add_product(rows[r], other, totals[r * 4 + d])
            size = min(4, lanes)
            for i in range(0, len(totals), size):
                if i % lanes == 0:
                    sums = code.sums(totals[i : i + lanes])
                some = code.take(sums, sums, [i % lanes + j for j in range(size)])
                place = code.at(code.at(c_at, i // 4, c_row), 1, i % 4)
                code.store(some, c_data, place)
            return context.get_dummy_value()

        return types.void(a, n, n, b, n, n, n, c, n, n), generate

    return tile


_p1, _p2, _p3, _p4 = map(_product, (1, 2, 3, 4))
_d1, _d2, _d3, _d4 = map(_dots, (1, 2, 3, 4))


@njit(nogil=True)
def _tile(width: int, *args: Any) -> None:
    if width == 4:
        _p4(*args)
    elif width == 3:
        _p3(*args)
    elif width == 2:
        _p2(*args)
    else:
        _p1(*args)


@njit(nogil=True)
def product(x: Any, w: Any, y: Any, batch: int, n: int, left: int, right: int) -> None:
    """Set panels [left, right) of y to x @ weight.

    x: (at least batch, at least n); y: (at least batch, at least all panels' columns)
    w: (panels, at least n, columns)
    """
    rows, columns = w.shape[1:]
    one, zero = like(1.0, x[0, 0]), like(0.0, x[0, 0])
    for p in range(left, right):
        for i in range(0, batch, ROWS):
            _tile(
                columns // (VECTOR // w.itemsize), x, i * x.shape[1], x.shape[1], 1,
                w, p * rows * columns, columns,
                y, i * y.shape[1] + p * columns, y.shape[1], n, one, zero,
            )  # fmt: skip


@njit(nogil=True)
def update(
    x: Any, dz: Any, w: Any, batch: int, n: int, left: int, right: int, rate: Any,
    keep: Any,
) -> None:  # fmt: skip
    """Set panels [left, right) of the weight to keep · weight - rate · x.T @ dz.

    The gradient is never stored. Shapes are those of `product`, dz's are y's.
    """
    rows, columns = w.shape[1:]
    for p in range(left, right):
        for k in range(0, n, ROWS):
            _tile(
                columns // (VECTOR // w.itemsize), x, k, 1, x.shape[1],
                dz, p * columns, dz.shape[1],
                w, (p * rows + k) * columns, columns, batch, -rate, keep,
            )  # fmt: skip


@njit(nogil=True)
def optimize(
    x: Any, dz: Any, shape: Any, batch: int, n: int, left: int, right: int,
    params: Any, slots: Any, at: int, numbers: Any, gradient: Any,
) -> None:  # fmt: skip
    """Take an optimizer's step with panels [left, right) of a weight.

    shape: the weight's as it is stored; at: where it begins in the parameters
    params, slots, numbers: see `optimizers.apply`
    gradient: (at least ROWS · columns,), for use here; others as for `update`
    """
    _, rows, columns = shape
    one, zero = like(1.0, x[0, 0]), like(0.0, x[0, 0])
    for p in range(left, right):
        for k in range(0, n, ROWS):
            _tile(
                columns // (VECTOR // x.itemsize), x, k, 1, x.shape[1],
                dz, p * columns, dz.shape[1],
                gradient, 0, columns, batch, one, zero,
            )  # fmt: skip
            place = at + (p * rows + k) * columns
            optimizers.apply(gradient, 0, params, slots, place, ROWS * columns, numbers)


@njit(nogil=True, fastmath=LOOP, error_model="numpy")
def bound(w: Any, left: int, right: int, most: Any, norms: Any) -> None:
    """Make columns of panels [left, right) shorter whose norm is above most.

    norms: (at least a panel's columns,), for use here
    """
    rows, columns = np.uint64(w.shape[1]), np.uint64(w.shape[2])
    one = like(1.0, most)
    for p in range(left, right):
        panel, above = w[p], False
        for j in range(columns):
            norms[j] = like(0.0, most)
        for k in range(rows):
            for j in range(columns):
                norms[j] += panel[k, j] * panel[k, j]
        for j in range(columns):
            norm = np.sqrt(norms[j])
            above |= norm > most
            norms[j] = most / norm if norm > most else one
        if above:
            for k in range(rows):
                for j in range(columns):
                    panel[k, j] *= norms[j]


@njit(nogil=True)
def _dot(width: int, *args: Any) -> None:
    if width == 4:
        _d4(*args)
    elif width == 3:
        _d3(*args)
    elif width == 2:
        _d2(*args)
    else:
        _d1(*args)


@njit(nogil=True)
def input_gradient(dz: Any, w: Any, dx: Any, batch: int, left: int, right: int) -> None:
    """Set columns [left, right) of dx to dz @ weight.T; shapes as for `product`."""
    panels, rows, columns = w.shape
    for first in range(left, right, BLOCK):
        for i in range(0, batch, FEW):
            for k in range(first, min(first + BLOCK, right), 4):
                _dot(
                    columns // (VECTOR // w.itemsize), dz, i * dz.shape[1],
                    dz.shape[1], w, k * columns, rows * columns, panels,
                    dx, i * dx.shape[1] + k, dx.shape[1],
                )  # fmt: skip


@njit(nogil=True)
def plain_product(x: Any, w: Any, y: Any, top: int, bottom: int) -> None:
    """Set rows [top, bottom) of y to x @ w, matrices that are not padded.

    The last tiles begin earlier and do some of the others' work again. At least `ROWS`
    rows, and columns for a vector.
    """
    n, m = w.shape
    lanes = VECTOR // w.itemsize
    width = min(WIDEST, m // lanes)
    one, zero = like(1.0, x[0, 0]), like(0.0, x[0, 0])
    for j in range(0, m, width * lanes):
        at = min(j, m - width * lanes)
        for row in range(top, bottom, ROWS):
            i = min(row, bottom - ROWS)
            _tile(width, x, i * n, n, 1, w, at, m, y, i * m + at, m, n, one, zero)
