"""Images of a batch, distorted as they are gathered; see `nnx.maths.distortion`."""

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from nnx.maths.arrays import Array
from nnx_backends.numba_cpu import elastic
from nnx_backends.numba_cpu.cache import inner_njit
from nnx_backends.numba_cpu.elastic import Field
from nnx_backends.numba_cpu.elementary import LOOP, like, philox, turned, uniform
from nnx_backends.numba_cpu.kernel import Kernel
from nnx_backends.numba_cpu.records import inputs, of_block, pixel_parts
from nnx_backends.numba_cpu.vectors import VECTOR, pointer_at

ONE = np.uint64(1)

pixel: Any = None  # set for each kernel: 0 in the pixels' type


class Space(NamedTuple):
    """A thread's memory for one image after another.

    field: each pixel's elastic displacement
    framed: (height + 2, width + 2), the image in a frame of zeros; ink: (width + 2,),
        the sums of its columns' absolute values
    source: (height, width), int32, each pixel's source, as the place in `framed` of the
        pixel above and to the left of it; it is computed as a floating-point number,
        which is exact up to 2²⁴; down, right: the source's distance from that pixel
    spans: (height, 2), the first pixel of each row that is computed, and the end

    Columns are padded to whole vectors, so that loops over them have no remainder.
    """

    field: Field
    framed: Array
    ink: Array
    source: Array
    down: Array
    right: Array
    spans: Array


@inner_njit()
def _space(run):
    """Return a new `Space`."""
    height, columns, real = run.height, run.columns, run.one
    wide = columns + np.int64(VECTOR // run.itemsize)
    return Space(
        elastic.memory(run),
        np.full((height + 2, wide), like(0.0, real)),
        np.full(wide, real),
        np.zeros((height, columns), np.int32),
        np.full((height, columns), real),
        np.full((height, columns), real),
        np.empty((height, 2), np.int32),
    )


def _distort(run, layer, step, hyper):
    """Set this thread's images of the block, distorted and scaled."""
    pixels, x = pointer_at(run.pixels, pixel), inputs(run, layer, step)
    index = of_block(run, step, run.order, 8, np.int64(0))
    space, scale = _space(run), like(hyper.pixel_scale, run.one)
    part = pixel_parts(layer, step)[0]
    for i in range(part.top, part.bottom):
        image = np.uint64(index[i])
        if run.elastic > 0.0:
            elastic.move(space.field, run, image)
        box = _frame(space, run, pixels, image * np.uint64(layer.inputs))
        _sample(space, _place(run, image), run, scale, x[i], box)


@cache
def images(dtype: Any) -> Kernel:
    """Return the kernel that distorts pixels of a type."""
    return Kernel(_distort, str(dtype), pixel=dtype.type(0))


@inner_njit(error_model="numpy")
def _place(run, image):
    """Return an image's row of `nnx.maths.distortion.matrices`."""
    a, b, c, d = philox(np.uint64(0), image, *elastic.draw(run))
    e, f, _, _ = philox(np.uint64(1), image, *elastic.draw(run))
    down, right = run.shift * _drawn(a), run.shift * _drawn(b)
    turns = run.rotation / 360.0 * _drawn(c)
    cos, sin = turned(turns - np.floor(turns))
    tall, broad = 1.0 + run.scale * _drawn(d), 1.0 + run.scale * _drawn(e)
    slant = run.shear * _drawn(f)
    return (
        (tall * cos, -broad * sin, down + 0.5 * (run.height - 1)),
        (tall * sin + slant, broad * cos, right + 0.5 * (run.width - 1)),
    )


@inner_njit()
def _drawn(word):
    """Return a number in (-1, 1) for a random word."""
    return 2.0 * uniform(word) - 1.0


@inner_njit(fastmath=LOOP, error_model="numpy")
def _frame(space, run, pixels, first):
    """Copy the image whose pixels begin at `first` into its frame.

    Returns the first and last rows and columns of cells that are not all zeros; a cell
    is a square of four pixels, and its place that of the first.
    """
    framed, ink, zero = space.framed, space.ink, like(0.0, run.one)
    width, top, bottom = np.uint64(run.width), np.int64(len(framed)), np.int64(-1)
    ink[:] = zero
    for i in range(np.uint64(run.height)):
        of_row = zero
        for j in range(width):
            value = like(pixels[first + i * width + j], run.one)
            framed[i + ONE, j + ONE] = value
            ink[j + ONE] += abs(value)
            of_row += abs(value)
        if of_row != zero:
            top, bottom = min(top, np.int64(i)), np.int64(i) + 1
    left, right = np.uint64(0), width + ONE
    while left < right and ink[left] == zero:
        left += ONE
    while right > left and ink[right] == zero:
        right -= ONE
    return top, bottom, np.int64(left) - 1, np.int64(right)


@inner_njit(fastmath=LOOP, error_model="numpy")
def _sample(space, place, run, scale, out, box):
    """Set each pixel of an image by interpolating the four pixels around its source.

    Nothing is computed where all four are zeros.
    """
    framed, wide = space.framed.reshape(-1), np.uint64(space.framed.shape[1])
    source, downs, rights, spans = space.source, space.down, space.right, space.spans
    width = np.uint64(run.width)
    out[: run.height * run.width] = like(0.0, run.one)
    _sources(space, place, run, box)
    for i in range(np.uint64(run.height)):
        for j in range(np.uint64(spans[i, 0]), np.uint64(spans[i, 1])):
            at, right = np.uint64(source[i, j]), rights[i, j]
            above = framed[at] + right * (framed[at + ONE] - framed[at])
            at += wide
            below = framed[at] + right * (framed[at + ONE] - framed[at])
            out[i * width + j] = scale * (above + downs[i, j] * (below - above))


@inner_njit(fastmath=LOOP, error_model="numpy")
def _sources(space, place, run, box):
    """Set the sources of all pixels, and the span to be computed in each row."""
    (a, b, c), (d, e, f) = place
    source, downs, rights = space.source, space.down, space.right
    real, moved, spans = run.one, space.field.moved, space.spans
    bend, middle = like(run.elastic, real), like(0.5 * (run.width - 1), real)
    down_slope, right_slope = like(b, real), like(e, real)
    height, width = like(run.height, real), like(run.width, real)
    top, bottom = like(box[0], real), like(box[1], real)
    left, end = like(box[2], real), like(box[3], real)
    wide, none = like(space.framed.shape[1], real), np.int32(run.width)
    for i in range(np.uint64(run.height)):
        y = np.float64(i) - 0.5 * (run.height - 1)
        down, right = like(a * y + c, real) + real, like(d * y + f, real) + real
        first, last = none, np.int32(-1)
        for j in range(np.uint64(source.shape[1])):
            number = np.int32(j)
            across = like(number, real) - middle
            row = down + down_slope * across + bend * moved[0, i, j]
            column = right + right_slope * across + bend * moved[1, i, j]
            row, column = _held(row, height), _held(column, width)
            above, before = min(np.floor(row), height), min(np.floor(column), width)
            downs[i, j], rights[i, j] = row - above, column - before
            source[i, j] = np.int32(above * wide + before)
            has = (above >= top) & (above <= bottom) & (before >= left)
            has &= before <= end
            first = min(first, number if has else none)
            last = max(last, number if has else np.int32(-1))
        spans[i, 0], spans[i, 1] = first, min(last + 1, run.width)


@inner_njit(error_model="numpy")
def _held(place, last):
    """Return a place clamped to the framed image, to [0, last + 1]."""
    zero, end = like(0.0, place), last + like(1.0, place)
    place = place if place > zero else zero
    return place if place < end else end
