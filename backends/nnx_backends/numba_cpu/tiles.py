"""Tiles of matrix products, whose sums stay in vector registers.

Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", 2008.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from nnx_backends.numba_cpu.vectors import WIDEST, Vectors, broadcast

ROWS = 6  # of a product's tile
FEW = 4 if WIDEST == 4 else 2  # of an input gradient's tile, which has four columns


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


PRODUCTS = {width: _product(width) for width in (1, 2, 3, 4)}
DOTS = {width: _dots(width) for width in (1, 2, 3, 4)}
