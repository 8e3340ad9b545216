"""Numbers rounded to bfloat16, two in a word, as AVX512-BF16 multiplies them.

A *word* holds two terms of a sum in the space of one float32 number. `vdpbf16ps`
multiplies the terms of two words and adds both products to a float32 sum ("BFLOAT16:
hardware numerics definition", Intel 2018), so that a matrix product takes half as many
instructions as in float32. The tiles move vectors of words like vectors of float32.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from nnx_backends.numba_cpu.vectors import ROWS, Vectors

REAL = types.float32
WIDTHS = [width for width in (4, 2) if width in ROWS]  # of panels: even, for words


def _moving(change):
    """Return an intrinsic that sets the first words of b from the first numbers of a.

    change(code, load): returns the vector to write; load(row): the first vector of a
        row of a
    """

    @intrinsic
    def move(typing, a, b):
        def generate(context, builder, signature, args):
            code = Vectors(context, builder, REAL)
            a_data, a_at, a_row, _ = code.matrix(args[0])
            b_data, b_at, *_ = code.matrix(args[1])

            def load(row):
                return code.load(a_data, code.at(a_at, row, a_row))

            words = change(code, load)
            kind = ir.VectorType(code.type.element, words.type.count // 2)
            code.store(builder.bitcast(words, kind), b_data, b_at)
            return context.get_dummy_value()

        return types.void(a, b), generate

    return move


def _both_halves(code, load):
    rounded = code.rounded(load(0))
    return code.take(rounded, rounded, [i // 2 for i in range(2 * code.type.count)])


def _two_rows(code, load):
    count = code.type.count
    rows = code.rounded(load(0)), code.rounded(load(1))
    return code.take(*rows, [i // 2 + i % 2 * count for i in range(2 * count)])


# They set b to words of neighboring numbers in a row of a; of each number twice; of the
# numbers of two rows.
neighbours = _moving(lambda code, load: code.rounded(load(0)))
twice = _moving(_both_halves)
rows_together = _moving(_two_rows)


def pairing(count):
    """Return an intrinsic that pairs the first `count` numbers of two rows of words.

    pair(a, b, c, both): each of c's words has a number of a and one of b; if both is
        false, 0 in place of the latter
    """

    @intrinsic
    def pair(typing, a, b, c, both):
        def generate(context, builder, signature, args):
            code = Vectors(context, builder, REAL)
            kind = ir.VectorType(ir.IntType(16), count)
            rows = []
            for matrix in args[:2]:
                data, at, *_ = code.matrix(matrix)
                place = builder.bitcast(builder.gep(data, [at]), kind.as_pointer())
                rows.append(builder.load(place, align=4))
            rows[1] = builder.select(args[3], rows[1], ir.Constant(kind, None))
            which = [i // 2 + i % 2 * count for i in range(2 * count)]
            words = code.take(rows[0], rows[1], which)
            data, at, *_ = code.matrix(args[2])
            place = builder.gep(data, [at])
            place = builder.bitcast(place, words.type.as_pointer())
            builder.store(words, place, align=4)
            return context.get_dummy_value()

        return types.void(a, b, c, types.boolean), generate

    return pair
