"""Tiles of matrix products, whose sums stay in vector registers.

Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", 2008.
"""

from functools import cache

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from nnx_backends.numba_cpu.cache import inner_njit
from nnx_backends.numba_cpu.vectors import (
    ROWS,
    VECTOR,
    WIDEST,
    Matrix,
    Vectors,
    broadcast,
    loop_as_written,
    prefetch,
)

COLUMNS = WIDEST * VECTOR // 4  # of the widest tile, float32
# The width of the input gradient's tiles, in vectors and in float32 columns. If they
# were wider, one of two threads that divide 800 columns would compute 448.
DX_WIDTH = 2
DX_COLUMNS = DX_WIDTH * VECTOR // 4
LINE = 64  # bytes
LOW = 4  # rows of low tiles, which may have any width


@cache
def tile_product(width, *, rows=None, packed=False, words=False):
    """Return an intrinsic for a tile of C = alpha A B + beta C; width: in vectors.

    A, B and C are each a `Matrix`; the rows of B and C are contiguous. C is not read if
    beta is 0. It is prefetched at the beginning, as it is often in a farther cache. The
    argument `terms` is a number of terms, or a list of some, `nonzero.Terms`.

    rows: of the tile; by default as many as the registers hold
    packed: A has only the columns of the listed terms, one after another
    words: A and B consist of words of two terms each; see `bfloat16`. A list is of
        words. If A is packed too, the list has two rows of B for each word of A; B's
        words hold a number twice, and one half of each is used
    """
    rows = rows or ROWS[width]

    @intrinsic
    def tile(typing, a, b, c, terms, alpha, beta):
        def generate(context, builder, signature, args):
            code = Vectors(context, builder, alpha)
            c_data, c_at, c_row, _ = code.matrix(args[2])
            lanes, totals = code.type.count, code.totals(rows * width)
            for r in range(rows):
                for first in range(0, width * lanes, LINE // code.align):
                    place = code.at(code.at(c_at, r, c_row), 1, first)
                    prefetch(builder, c_data, place, writes=True)
            _sum_terms(code, args, terms, totals, width, packed=packed, words=words)
            places = [
                code.at(code.at(c_at, r, c_row), v, lanes)
                for r in range(rows)
                for v in range(width)
            ]
            _add_up(code, totals, c_data, places, *args[4:])
            return context.get_dummy_value()

        return types.void(a, b, c, terms, alpha, beta), generate

    return tile


def _sum_terms(code, args, kind, totals, width, *, packed, words):
    """Generate the sum of a tile's terms; args: the tile's; kind: the terms' type."""
    builder, rows, lanes = code.builder, len(totals) // width, code.type.count
    a_data, a_at, a_row, a_column = code.matrix(args[0])
    b_data, b_at, b_row, _ = code.matrix(args[1])
    rows_at = [builder.gep(a_data, [code.at(a_at, r, a_row)]) for r in range(rows)]
    count, term = _terms(builder, kind, args[3], words)
    add = code.add_pairs if words else code.add_product

    def row_of_b(now):
        at = code.at(b_at, now, b_row)
        return [code.load(b_data, code.at(at, v, lanes)) for v in range(width)]

    with loop_as_written(builder, count) as index:
        if words and packed:
            two = code.at(index, 1, index)
            first, second = row_of_b(term(two)), row_of_b(term(code.at(two, 1, 1)))
            columns = list(map(code.halves, first, second))
            now = index
        else:
            now = term(index)
            columns = row_of_b(now)
        a_now = builder.mul(index if packed else now, a_column)
        for r in range(rows):
            number = builder.load(builder.gep(rows_at[r], [a_now]))
            number = broadcast(builder, code.type, number)
            for v in range(width):
                add(number, columns[v], totals[r * width + v])


def _add_up(code, totals, data, places, factor, keep):
    """Generate the code that sets C's vectors to factor · totals + keep · C."""
    builder = code.builder
    reads = builder.fcmp_ordered("!=", keep, ir.Constant(keep.type, 0.0))
    factor, keep = (broadcast(builder, code.type, number) for number in (factor, keep))
    for total, place in zip(totals, places, strict=True):
        builder.store(builder.fmul(factor, builder.load(total)), total)
        with builder.if_then(reads):
            code.add_product(keep, code.load(data, place), total)
        code.store(builder.load(total), data, place)


def _terms(builder, kind, value, words):
    """Return the number of terms, or words, and a function that generates an index."""
    if isinstance(kind, types.Integer):
        if words:
            value = builder.ashr(builder.add(value, value.type(1)), value.type(1))
        return value, lambda i: i
    lists, at, count = (builder.extract_value(value, i) for i in range(3))

    def term(i):
        number = builder.load(builder.gep(lists, [builder.add(at, i)]))
        return builder.zext(number, at.type)

    return count, term


@intrinsic
def transpose(typing, a, b):
    """Set a square of B, as wide as a vector, to the transpose of the one of A.

    Each is a `Matrix` whose rows are contiguous.
    """
    real = a.types[0].dtype

    def generate(context, builder, signature, args):
        code = Vectors(context, builder, real)
        a_data, a_at, a_row, _ = code.matrix(args[0])
        b_data, b_at, b_row, _ = code.matrix(args[1])
        count = code.type.count
        rows = [code.load(a_data, code.at(a_at, i, a_row)) for i in range(count)]
        # Each round, a perfect shuffle, halves the distance of a column's numbers.
        order = [i // 2 + i % 2 * count for i in range(2 * count)]
        for _ in range(count.bit_length() - 1):
            pairs = zip(rows[: count // 2], rows[count // 2 :], strict=True)
            rows = [
                code.take(x, y, half)
                for x, y in pairs
                for half in (order[:count], order[count:])
            ]
        for i, row in enumerate(rows):
            code.store(row, b_data, code.at(b_at, i, b_row))
        return context.get_dummy_value()

    return types.void(a, b), generate


def _fetching(*, writes):
    """Return an intrinsic that prefetches the cache line of a number."""

    @intrinsic
    def fetch(typing, data, at):
        def generate(context, builder, signature, args):
            prefetch(builder, *args, writes=writes)
            return context.get_dummy_value()

        return types.void(data, at), generate

    return fetch


fetch_to_read, fetch_to_write = _fetching(writes=False), _fetching(writes=True)


def copying(count):
    """Return an intrinsic that copies the first `count` numbers of a `Matrix`."""

    @intrinsic
    def copy(typing, a, b):
        real = a.types[0].dtype

        def generate(context, builder, signature, args):
            code = Vectors(context, builder, real)
            a_data, a_at, *_ = code.matrix(args[0])
            b_data, b_at, *_ = code.matrix(args[1])
            code.type = ir.VectorType(code.type.element, count)
            code.store(code.load(a_data, a_at), b_data, b_at)
            return context.get_dummy_value()

        return types.void(a, b), generate

    return copy


@inner_njit()
def moved(a, at):
    """Return a matrix that begins `at` numbers later."""
    return Matrix(a.data, a.at + at, a.row, a.column)
