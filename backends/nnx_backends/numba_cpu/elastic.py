"""Elastic distortion: each pixel's own displacement; see `nnx.maths.distortion`."""

from typing import Any, NamedTuple

import numpy as np

from nnx.maths import distortion
from nnx.maths.arrays import Array
from nnx.maths.hyperparameters import Hyperparameters, Stream
from nnx_backends.numba_cpu import layout, tiles
from nnx_backends.numba_cpu.cache import inner_njit
from nnx_backends.numba_cpu.elementary import HALF, LOOP, WORD, like
from nnx_backends.numba_cpu.random_words import COUNTERS, store_words
from nnx_backends.numba_cpu.records import matrix
from nnx_backends.numba_cpu.vectors import ROWS, VECTOR, Matrix, lanes, pointer

STREAM = np.uint64(Stream.DISTORTION)
# The generator's first block for an image's field, and the random bytes per block.
FIELD, BYTES = np.uint64(distortion.OWN // 4), 16
WIDTH = 2  # of a tile, in vectors
HEIGHT = ROWS[WIDTH]
tile = tiles.tile_product(WIDTH)


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


class Field(NamedTuple):
    """The Gaussian weights, and a thread's memory for one image's field after another.

    words: (blocks, 4), the random words of a field; planes: (64,), of sixteen blocks
    drawn: (2 · height, width), random numbers; half: the same, smoothed along rows
    moved: (2, height, width), each pixel's displacement down and to the right

    Rows and columns are padded to whole tiles.
    """

    tall: Array
    broad: Array
    words: Array
    planes: Array
    drawn: Array
    half: Array
    moved: Array


@inner_njit()
def memory(run):
    """Return a new `Field`, in which all displacements are 0."""
    height, width, rows = run.height, run.width, np.int64(HEIGHT)
    whole, columns = (height + rows - 1) // rows * rows, run.columns
    two = (2 * height + rows - 1) // rows * rows  # rows of both fields together
    blocks = (2 * height * width + BYTES - 1) // BYTES
    tall = matrix(run.tall, whole, height, run.one)
    return Field(
        tall,
        matrix(run.broad, width, columns, run.one),
        np.empty(((blocks + COUNTERS - 1) // COUNTERS * COUNTERS, 4), np.uint32),
        np.empty(4 * COUNTERS, np.uint32),
        np.zeros((two, width), tall.dtype),
        np.zeros((two, columns), tall.dtype),
        np.zeros((2, whole, columns), tall.dtype),
    )


@inner_njit()
def draw(run):
    """Return what words depend on besides counter and image; see `random_words`."""
    return np.uint64(run.epoch), STREAM, run.seed & WORD, run.seed >> HALF


@inner_njit()
def move(field, run, image):
    """Set the displacements of an image's pixels."""
    _draw_words(field, run, image)
    _draw_numbers(field, run)
    _smooth(field, run)


@inner_njit()
def _draw_words(field, run, image):
    """Set the words of a field to random ones."""
    words, planes, drawn = field.words, field.planes, draw(run)
    for first in range(np.uint64(0), np.uint64(len(words)), np.uint64(COUNTERS)):
        store_words(planes, FIELD + first, image, drawn)
        for block in range(np.uint64(COUNTERS)):
            for i in range(np.uint64(4)):
                words[first + block, i] = planes[np.uint64(COUNTERS) * i + block]


@inner_njit(fastmath=LOOP, error_model="numpy")
def _draw_numbers(field, run):
    """Set the field to numbers in (-1, 1), one for each random byte."""
    drawn, numbers = field.words.reshape(-1).view(np.uint8), field.drawn.reshape(-1)
    middle, reach = like(127.5, run.one), like(1 / 128.0, run.one)
    for i in range(np.uint64(2 * run.height * run.width)):
        numbers[i] = (like(drawn[i], middle) - middle) * reach


@inner_njit()
def _smooth(field, run):
    """Set the displacements to the smoothed field."""
    _multiply(field.drawn, field.broad, field.half, run.width, run)
    for side in range(2):
        rows = field.half[side * run.height :]
        _multiply(field.tall, rows, field.moved[side], run.height, run)


@inner_njit()
def _multiply(a, b, c, depth, run):
    """Set c to a @ b; rows of a and c, and columns of b and c, are in whole tiles."""
    columns = WIDTH * VECTOR // run.itemsize
    for j in range(0, c.shape[1], columns):
        right = Matrix(pointer(b), j, b.shape[1], 1)
        for i in range(0, c.shape[0], HEIGHT):
            left = Matrix(pointer(a), i * a.shape[1], a.shape[1], 1)
            into = Matrix(pointer(c), i * c.shape[1] + j, c.shape[1], 1)
            tile(left, right, into, depth, run.one, like(0.0, run.one))
