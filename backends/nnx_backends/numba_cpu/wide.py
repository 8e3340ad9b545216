"""Products of wide layers, tiled in vector registers, on weights stored in panels.

A wide layer's weight is stored as panels of a few vectors' columns, each contiguous,
(panels, in_features, columns): a product reads it from one end to the other and nothing
is copied first, which for a batch of 64 is a third of a BLAS call. A tile is `ROWS`
rows and a panel's columns of the result; its sums stay in registers (Goto and van de
Geijn, "Anatomy of high-performance matrix multiplication", 2008). Arrays are padded
with zeros to whole tiles.
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from nnx_backends.numba_cpu import optimizers
from nnx_backends.numba_cpu.activations import LOOP
from nnx_backends.numba_cpu.elementary import like
from nnx_backends.numba_cpu.switch import switch
from nnx_backends.numba_cpu.vectors import (
    VECTOR,
    WIDEST,
    Matrix,
    Vectors,
    broadcast,
    pointer,
)

ROWS = 6  # of a product's tile
FEW = 4 if WIDEST == 4 else 2  # of an input gradient's tile, which has four columns
WHOLE = 12  # what rows and columns are padded to, whole tiles of both
# Rows of a weight that are used again and again from the second cache.
BLOCK = 64


def _product(width):
    """Return a tile of C = alpha A B + beta C, of so many vectors' columns.

    Each is a `Matrix`, B's and C's rows contiguous. C is not read where beta is 0.
    """

    @intrinsic
    def tile(typing, a, b, c, depth, alpha, beta):
        def generate(context, builder, signature, args):
            code = Vectors(context, builder, alpha)
            a_data, a_at, a_row, a_column = code.matrix(args[0])
            b_data, b_at, b_row, _ = code.matrix(args[1])
            c_data, c_at, c_row, _ = code.matrix(args[2])
            factor, keep = args[4:]
            lanes, totals = code.type.count, code.totals(ROWS * width)
            with cgutils.for_range(builder, args[3]) as loop:
                b_now = code.at(b_at, loop.index, b_row)
                columns = [
                    code.load(b_data, code.at(b_now, v, lanes)) for v in range(width)
                ]
                a_now = code.at(a_at, loop.index, a_column)
                for r in range(ROWS):
                    place = builder.gep(a_data, [code.at(a_now, r, a_row)])
                    number = broadcast(builder, code.type, builder.load(place))
                    for v in range(width):
                        code.add_product(number, columns[v], totals[r * width + v])
            reads_c = builder.fcmp_ordered("!=", keep, ir.Constant(keep.type, 0.0))
            factor, keep = (broadcast(builder, code.type, a) for a in (factor, keep))
            for i, total in enumerate(totals):
                builder.store(builder.fmul(factor, builder.load(total)), total)
                place = code.at(code.at(c_at, i // width, c_row), i % width, lanes)
                with builder.if_then(reads_c):
                    code.add_product(keep, code.load(c_data, place), total)
                code.store(builder.load(total), c_data, place)
            return context.get_dummy_value()

        return types.void(a, b, c, types.intp, alpha, beta), generate

    return tile


def _dots(width):
    """Return a tile of A Bᵀ: the products of a few rows of A and four of B.

    Each is a `Matrix`. Rows of A and of C are contiguous; B lies in so many panels, of
    so many vectors' columns, and its `row` is from one panel to the next.
    """

    @intrinsic
    def tile(typing, a, b, c, panels):
        def generate(context, builder, signature, args):
            code = Vectors(context, builder, a.types[0].dtype)
            a_data, a_at, a_row, _ = code.matrix(args[0])
            b_data, b_at, b_panel, _ = code.matrix(args[1])
            c_data, c_at, c_row, _ = code.matrix(args[2])
            lanes, totals = code.type.count, code.totals(4 * FEW)
            columns = width * lanes
            with cgutils.for_range(builder, args[3]) as loop:
                a_now = code.at(a_at, loop.index, columns)
                b_now = code.at(b_at, loop.index, b_panel)
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
                part = code.take(sums, sums, [i % lanes + j for j in range(size)])
                place = code.at(code.at(c_at, i // 4, c_row), 1, i % 4)
                code.store(part, c_data, place)
            return context.get_dummy_value()

        return types.void(a, b, c, types.intp), generate

    return tile


# The first argument is a width less one, of a panel in vectors.
_product_tile = switch(*(_product(width) for width in (1, 2, 3, 4)))
_dots_tile = switch(*(_dots(width) for width in (1, 2, 3, 4)))


@njit(nogil=True)
def product(x, w, y, batch, n, panels):
    """Set panels of y to x @ weight.

    x: (at least batch, at least n); y: (at least batch, at least all panels' columns)
    w: (panels, at least n, columns); panels: first and last + 1
    """
    columns, stride, y_stride = w.shape[2], x.shape[1], y.shape[1]
    one, zero = like(1.0, x[0, 0]), like(0.0, x[0, 0])
    width = columns // (VECTOR // w.itemsize)
    for p in range(panels[0], panels[1]):
        b = Matrix(pointer(w), p * w.shape[1] * columns, columns, 1)
        for i in range(0, batch, ROWS):
            a = Matrix(pointer(x), i * stride, stride, 1)
            c = Matrix(pointer(y), i * y_stride + p * columns, y_stride, 1)
            _product_tile(width - 1, a, b, c, n, one, zero)


@njit(nogil=True)
def descend(x, dz, w, batch, n, panels, rate, keep):
    """Set panels of the weight to keep · weight - rate · x.T @ dz.

    The gradient is never stored. Shapes are those of `product`, dz's are y's.
    """
    rows, columns = w.shape[1], w.shape[2]
    width = columns // (VECTOR // w.itemsize)
    for p in range(panels[0], panels[1]):
        b = Matrix(pointer(dz), p * columns, dz.shape[1], 1)
        for k in range(0, n, ROWS):
            a = Matrix(pointer(x), k, 1, x.shape[1])
            c = Matrix(pointer(w), (p * rows + k) * columns, columns, 1)
            _product_tile(width - 1, a, b, c, batch, -rate, keep)


@njit(nogil=True)
def optimize(x, dz, batch, place, panels, optimizer, gradient):
    """Take an optimizer's step with panels of the weight at a place.

    optimizer: see `optimizers`
    gradient: (at least ROWS · columns,), for use here; others as for `product`
    """
    rows, columns = place.rows, place.columns
    one, zero = like(1.0, x[0, 0]), like(0.0, x[0, 0])
    width = columns // (VECTOR // x.itemsize)
    c = Matrix(pointer(gradient), 0, columns, 1)
    for p in range(panels[0], panels[1]):
        b = Matrix(pointer(dz), p * columns, dz.shape[1], 1)
        for k in range(0, place.inputs, ROWS):
            a = Matrix(pointer(x), k, 1, x.shape[1])
            _product_tile(width - 1, a, b, c, batch, one, zero)
            at = place.weight_at + (p * rows + k) * columns
            optimizers.step_weights(optimizer, c.data, at, ROWS * columns)


@njit(nogil=True, fastmath=LOOP, error_model="numpy")
def bound_norms(w, panels, max_norm, norms):
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


@njit(nogil=True)
def input_gradient(dz, w, dx, batch, part):
    """Set columns of dx to dz @ weight.T; shapes as for `product`."""
    panels, rows, columns = w.shape
    width = columns // (VECTOR // w.itemsize)
    for first in range(part[0], part[1], BLOCK):
        for i in range(0, batch, FEW):
            a = Matrix(pointer(dz), i * dz.shape[1], dz.shape[1], 1)
            for k in range(first, min(first + BLOCK, part[1]), 4):
                b = Matrix(pointer(w), k * columns, rows * columns, 1)
                c = Matrix(pointer(dx), i * dx.shape[1] + k, dx.shape[1], 1)
                _dots_tile(width - 1, a, b, c, panels)


@njit(nogil=True)
def plain_product(x, w, y, rows):
    """Set rows of y, first to last + 1, to x @ w, matrices that are not padded.

    The last tiles begin earlier and do some of the others' work again. At least `ROWS`
    rows, and columns for a vector.
    """
    n, m = w.shape
    lanes = VECTOR // w.itemsize
    width = min(WIDEST, m // lanes)
    one, zero = like(1.0, x[0, 0]), like(0.0, x[0, 0])
    for j in range(0, m, width * lanes):
        at = min(j, m - width * lanes)
        b = Matrix(pointer(w), at, m, 1)
        for row in range(rows[0], rows[1], ROWS):
            i = min(row, rows[1] - ROWS)
            a, c = Matrix(pointer(x), i * n, n, 1), Matrix(pointer(y), i * m + at, m, 1)
            _product_tile(width - 1, a, b, c, n, one, zero)
