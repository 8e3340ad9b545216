"""Images of a batch, distorted as they are gathered; see `nnx.maths.distortion`."""

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from nnx.maths import distortion
from nnx.maths.arrays import Array
from nnx.maths.hyperparameters import Hyperparameters, Stream
from nnx_backends.numba_cpu import layout, tiles
from nnx_backends.numba_cpu.cache import inner_njit
from nnx_backends.numba_cpu.elementary import (
    HALF,
    LOOP,
    WORD,
    like,
    philox,
    turned,
    uniform,
)
from nnx_backends.numba_cpu.kernel import Kernel
from nnx_backends.numba_cpu.records import inputs, matrix, of_block, pixel_parts
from nnx_backends.numba_cpu.vectors import (
    ROWS,
    VECTOR,
    Matrix,
    lanes,
    pointer,
    pointer_at,
)

STREAM = np.uint64(Stream.DISTORTION)
ONE = np.uint64(1)
# The generator's first block of an image's field, and random bytes in a block.
FIELD, BYTES = np.uint64(distortion.OWN // 4), 16
WIDTH = 2  # of a tile, in vectors
HEIGHT = ROWS[WIDTH]
tile = tiles.PRODUCTS[WIDTH]

pixel: Any = None  # each kernel's own: 0 in the pixels' type


def smoothing(hyper: Hyperparameters, real: Any) -> tuple[Array, Array]:
    """Return a Gaussian's weights for columns and rows, padded to whole tiles."""
    if hyper.augment is None:
        return layout.zeros((0, 0), real), layout.zeros((0, 0), real)
    height, width = hyper.image_shape
    like = np.zeros((), real)
    tall = layout.zeros((layout.whole(height, HEIGHT), height), real)
    tall[:height] = distortion.gaussian(height, hyper.augment, like, xp=np)
    broad = layout.zeros((width, layout.whole(width, WIDTH * lanes(real))), real)
    broad[:, :width] = distortion.gaussian(width, hyper.augment, like, xp=np)
    return tall, broad


class Space(NamedTuple):
    """A thread's memory for one image after another, and the Gaussian's weights.

    field: (2 · height, width), random numbers; half: the same, columns smoothed
    moved: (2, height, width), how far each pixel moves down and right
    framed: (height + 2, width + 2), the image in a frame of zeros
    top, left, down, right: (width,), of each pixel of a row: the framed pixel before
        its source, and how far beyond it the source is

    Rows and columns are padded to whole tiles, all but the image's.
    """

    tall: Array
    broad: Array
    field: Array
    half: Array
    moved: Array
    framed: Array
    top: Array
    left: Array
    down: Array
    right: Array


@inner_njit()
def _space(run):
    """Return the memory."""
    height, width, rows = run.height, run.width, np.int64(HEIGHT)
    whole, columns = (height + rows - 1) // rows * rows, run.columns
    two = (2 * height + rows - 1) // rows * rows  # fields, one under the other
    tall = matrix(run.tall, whole, height, run.one)
    return Space(
        tall,
        matrix(run.broad, width, columns, run.one),
        np.zeros((two, width), tall.dtype),
        np.zeros((two, columns), tall.dtype),
        np.zeros((2, whole, columns), tall.dtype),
        np.zeros((height + 2, width + 2), tall.dtype),
        np.zeros(columns, tall.dtype),
        np.zeros(columns, tall.dtype),
        np.zeros(columns, tall.dtype),
        np.zeros(columns, tall.dtype),
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
            _draw_field(space.field, run, image)
            _smooth(space, run)
        _frame(space.framed, pixels, image * np.uint64(layer.inputs))
        _sample(space, _place(run, image), run, scale, x[i])


@cache
def images(dtype: Any) -> Kernel:
    """Return the kernel that distorts pixels of a type."""
    return Kernel(_distort, str(dtype), pixel=dtype.type(0))


@inner_njit()
def _words(run, image, block):
    """Return four random words of an image's."""
    key = run.seed & WORD, run.seed >> HALF
    return philox(block, image, np.uint64(run.epoch), STREAM, *key)


@inner_njit(error_model="numpy")
def _place(run, image):
    """Return an image's row of `nnx.maths.distortion.matrices`."""
    a, b, c, d = _words(run, image, np.uint64(0))
    e, f, _, _ = _words(run, image, np.uint64(1))
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
def _draw_field(field, run, image):
    """Set the field to numbers in (-1, 1), a byte of a random word each."""
    count = 2 * run.height * run.width
    blocks = np.uint64((count + BYTES - 1) // BYTES)
    words = np.empty(4 * blocks, np.uint32)
    for block in range(blocks):
        a, b, c, d = _words(run, image, FIELD + block)
        at = np.uint64(4) * block
        words[at], words[at + np.uint64(1)] = a, b
        words[at + np.uint64(2)], words[at + np.uint64(3)] = c, d
    drawn, flat = words.view(np.uint8), field.reshape(-1)
    middle, reach = like(127.5, run.one), like(1 / 128.0, run.one)
    for i in range(np.uint64(count)):
        flat[i] = (like(drawn[i], middle) - middle) * reach


@inner_njit()
def _smooth(space, run):
    """Set how far pixels move to the smoothed field."""
    field, half = space.field, space.half
    _multiply(field, space.broad, half, run.width, run)
    for side in range(2):
        rows = half[side * run.height :]
        _multiply(space.tall, rows, space.moved[side], run.height, run)


@inner_njit()
def _multiply(a, b, c, depth, run):
    """Set c to a @ b, in tiles; rows of a and c, and columns of b and c, are whole."""
    columns = WIDTH * VECTOR // run.itemsize
    for j in range(0, c.shape[1], columns):
        right = Matrix(pointer(b), j, b.shape[1], 1)
        for i in range(0, c.shape[0], HEIGHT):
            left = Matrix(pointer(a), i * a.shape[1], a.shape[1], 1)
            into = Matrix(pointer(c), i * c.shape[1] + j, c.shape[1], 1)
            tile(left, right, into, depth, run.one, like(0.0, run.one))


@inner_njit(fastmath=LOOP, error_model="numpy")
def _frame(framed, pixels, first):
    """Set the image within its frame to the pixels that begin there."""
    height, width = framed.shape[0] - 2, np.uint64(framed.shape[1] - 2)
    for i in range(np.uint64(height)):
        for j in range(width):
            value = like(pixels[first + i * width + j], framed[0, 0])
            framed[i + np.uint64(1), j + np.uint64(1)] = value


@inner_njit(fastmath=LOOP, error_model="numpy")
def _sample(space, place, run, scale, out):
    """Set an image to another's pixels, each from the four around its source.

    A row of places is computed before its pixels are fetched, as vectors.
    """
    (a, b, c), (d, e, f) = place
    framed, height, width = space.framed.reshape(-1), run.height, run.width
    wide, down, right = np.uint64(width + 2), space.down, space.right
    for i in range(np.uint64(height)):
        y = np.float64(i) - 0.5 * (height - 1)
        _cells((a * y + c, b), run, space.moved, 0, i, height, space.top, down)
        _cells((d * y + f, e), run, space.moved, 1, i, width, space.left, right)
        for j in range(np.uint64(width)):
            at = np.uint64(space.top[j]) * wide + np.uint64(space.left[j])
            above = framed[at] + right[j] * (framed[at + ONE] - framed[at])
            at += wide
            below = framed[at] + right[j] * (framed[at + ONE] - framed[at])
            out[i * np.uint64(width) + j] = scale * (above + down[j] * (below - above))


@inner_njit(fastmath=LOOP, error_model="numpy")
def _cells(line, run, moved, side, i, n, before, beyond):
    """Set the framed pixel before each source of a row, and how far beyond it that is.

    line: the first source, in the middle of a row, and the next one's distance from it
    side: 0 for rows, 1 for columns; n: their number
    """
    first, slope = like(line[0], run.one) + run.one, like(line[1], run.one)
    elastic, middle = like(run.elastic, run.one), like(0.5 * (run.width - 1), run.one)
    zero, last = like(0.0, run.one), like(n, run.one)
    for j in range(np.uint64(run.width)):
        place = first + slope * (like(j, run.one) - middle)
        place += elastic * moved[side, i, j]
        place = place if place > zero else zero
        place = place if place < last + run.one else last + run.one
        cell = np.floor(place)
        cell = cell if cell < last else last
        before[j], beyond[j] = cell, place - cell
