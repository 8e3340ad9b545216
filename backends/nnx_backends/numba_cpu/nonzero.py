"""Lists of the inputs that are not 0, so that products skip the others.

Four fifths of MNIST's pixels are 0, and most neighbors of a 0 are 0 too. A tile of a
product sums over the inputs that are not 0 in at least one of its images; in a weight's
gradient, over the images in which at least one of its inputs is not 0. Skipped terms
would have added 0, so no bit of a sum changes. A weight that is NaN shows as soon as
its input is not 0.
"""

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from nnx_backends.numba_cpu.cache import inner_njit
from nnx_backends.numba_cpu.kernel import Kernel
from nnx_backends.numba_cpu.records import inputs_at, matrix, pixel_parts
from nnx_backends.numba_cpu.vectors import broadcast, pointer, pointer_at

GROUP = 8  # inputs whose marks are the bits of one byte
# Extra places of a list: one for its length, and a group's for writes past its end.
BESIDES = 1 + GROUP


class Terms(NamedTuple):
    """The terms of a sum that are not 0, as a list of their indices.

    lists: a pointer to int32; at: the place of the first index; number: of indices
    """

    lists: Any
    at: Any
    number: Any


def groups(stride: int) -> int:
    """Return the bytes of marks per image, padded, as two bytes are read at once."""
    return (stride // GROUP // GROUP + 1) * GROUP


@inner_njit()
def marks_of(run, layer, step):
    """Return the marks of a block's images, (images, `groups`)."""
    address = run.marks + step.turn * run.marks_apart
    return matrix(address, layer.batch, run.marks_apart // layer.batch, np.uint8(0))


@inner_njit()
def lists_of(run, step):
    """Return a pointer to this thread's lists."""
    return pointer_at(run.lists + step.rank * run.lists_apart * 4, np.int32(0))


def _mark(run, layer, step, hyper):
    """Mark the inputs that are not 0, in the images that this thread has set."""
    x, marks = pointer_at(inputs_at(layer, step), run.one), marks_of(run, layer, step)
    part, size = pixel_parts(layer, step)[0], np.uint64(GROUP)
    for i in range(part.top, part.bottom):
        at = i * np.uint64(layer.x_stride)
        for group in range(np.uint64(layer.x_stride) // size):
            marks[i, group] = _marks(x, at + group * size)


MARK = Kernel(_mark)


@intrinsic
def _marks(typing, data, at):
    """Return a byte whose bits say which of eight numbers are not 0."""

    def generate(context, builder, signature, args):
        kind = ir.VectorType(context.get_data_type(data.dtype), GROUP)
        place = builder.bitcast(builder.gep(args[0], [args[1]]), kind.as_pointer())
        numbers = builder.load(place, align=data.dtype.bitwidth // 8)
        marks = builder.fcmp_unordered("!=", numbers, ir.Constant(kind, None))
        return builder.bitcast(marks, ir.IntType(8))

    return types.uint8(data, at), generate


@intrinsic
def _pair(typing, data, at):
    """Return the two bytes that begin at a place, as a number."""

    def generate(context, builder, signature, args):
        pair = ir.IntType(16)
        place = builder.bitcast(builder.gep(args[0], [args[1]]), pair.as_pointer())
        number = builder.load(place, align=1)
        return builder.zext(number, ir.IntType(64))  # the lower byte first

    return types.int64(data, at), generate


def _putting(size: int) -> Any:
    """Return an intrinsic that lists marked groups; size: bits per group."""
    table = [_places(marks, size) for marks in range(2**GROUP)]

    @intrinsic
    def put(typing, data, at, first, marks):
        """Write `first` plus the index of each marked group; return the next place.

        marks: a group is marked if its first bit is set
        """

        def generate(context, builder, signature, args):
            data, at, first, marks = args
            byte, word = (ir.VectorType(ir.IntType(n), GROUP) for n in (8, 32))
            kind = ir.ArrayType(byte, len(table))
            places = ir.Constant(kind, [ir.Constant(byte, row) for row in table])
            rows = cgutils.global_constant(builder, "places", places)
            row = builder.zext(marks, at.type)
            bits = builder.load(builder.gep(rows, [at.type(0), row]))
            start = broadcast(builder, word, builder.trunc(first, ir.IntType(32)))
            place = builder.bitcast(builder.gep(data, [at]), word.as_pointer())
            builder.store(builder.add(builder.zext(bits, word), start), place, align=4)
            return builder.add(at, builder.zext(builder.ctpop(marks), at.type))

        n = types.int64
        return n(data, n, n, types.uint8), generate

    return put


def _places(marks: int, size: int) -> list[int]:
    places = [i // size for i in range(0, GROUP, size) if marks >> i & 1]
    return places + [0] * (GROUP - len(places))


_put, _put_pair = _putting(1), _putting(2)
FIRSTS = np.uint8(0b01010101)  # the first bit of each pair


def listing_inputs(rows: int, *, pairs: bool = False) -> Any:
    """Return a compiled function that lists the inputs that are not 0 in some image.

    rows: how many images share a list; pairs: whether two neighboring inputs are listed
        together, by the pair's index
    """

    @inner_njit()
    def list_inputs(marks, image, inputs, lists, at):
        """Write at a place the list of the images from `image` on.

        inputs: the number of inputs
        """
        end = at + 1
        for group in range((inputs + GROUP - 1) // GROUP):
            marked = marks[image, group]
            for r in range(1, rows):
                marked |= marks[image + r, group]
            if pairs:
                either = np.uint8(marked | marked >> np.uint8(1)) & FIRSTS
                end = _put_pair(lists, end, group * (GROUP // 2), either)
            else:
                end = _put(lists, end, group * GROUP, marked)
        lists[at] = end - at - 1

    return list_inputs


def listing_images(rows: int) -> Any:
    """Return a compiled function that lists images in which some input is not 0.

    rows: how many inputs share a list
    """
    mask = 2**rows - 1

    @inner_njit()
    def list_images(marks, k, images, lists, at):
        """Write at a place the list for the inputs from k on.

        images: the first and the last + 1; their indices count from the first one
        """
        end, (first, last) = at + 1, images
        every, row = pointer(marks), marks.shape[1]
        for i in range(first, last):
            lists[end] = i - first
            pair = _pair(every, i * row + k // GROUP)
            end += (pair >> k % GROUP & mask) != 0
        lists[at] = end - at - 1

    return list_images


@inner_njit()
def list_all(marks, k, images, lists, at):
    """Write at a place the list of all images."""
    count = images[1] - images[0]
    for i in range(count):
        lists[at + 1 + i] = i
    lists[at] = count


@inner_njit()
def pairs(lists, at):
    """Return the terms of the list at a place, two terms together."""
    return Terms(lists, at + 1, (np.int64(lists[at]) + 1) // 2)


@inner_njit()
def terms(lists, at):
    """Return the terms of the list at a place."""
    return Terms(lists, at + 1, np.int64(lists[at]))
