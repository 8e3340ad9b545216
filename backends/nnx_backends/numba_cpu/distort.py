"""Distorted images, one after another; the formulas are `nnx.maths.distortion`'s."""

import numpy as np

from nnx.maths import distortion, random
from nnx.maths.arrays import Array, Namespace
from nnx.maths.hyperparameters import Distortion, Stream
from nnx_backends.numba_cpu.cache import cached_njit, inner_njit
from nnx_backends.numba_cpu.elementary import LOOP, like, philox
from nnx_backends.numba_cpu.team import partition, read_only
from nnx_backends.numba_cpu.threads import Threads

LANES = 16


def distort(
    pixels: Array,
    index: Array,
    size: tuple[int, int],
    amounts: Distortion,
    *,
    seed: int,
    epoch: int,
    like: Array,
    xp: Namespace,
    threads: Threads,
) -> Array:
    """Return images distorted anew; like `nnx.maths.distortion.distort`."""
    real = like.dtype
    places = distortion.matrices(index, size, amounts, seed=seed, epoch=epoch, xp=xp)
    tall, broad = (distortion.gaussian(n, amounts, like, xp=xp) for n in size)
    broad = np.pad(broad, ((0, 0), (0, -size[1] % LANES)))  # rows of whole vectors
    out = np.empty((len(index), *size), real)
    first, stream = distortion.OWN // 4, Stream.DISTORTION
    threads.run(
        threads.size(len(index)),
        distort_part,
        read_only(np.ascontiguousarray(pixels).reshape(out.shape)),
        read_only(index.astype(np.uint64)),
        read_only(places.astype(real)),
        tuple(map(np.uint64, random.key(seed))),
        tuple(map(np.uint64, (first, epoch, stream))),
        real.type(amounts.elastic),
        read_only(tall),
        read_only(broad),
        out,
    )
    return out.reshape(len(index), size[0] * size[1])


@cached_njit(nogil=True)
def distort_part(team, pixels, index, places, key, counter, elastic, tall, broad, out):
    """Distort this thread's images.

    pixels, out: (n, height, width); index: (n,) uint64; places: (n, 6)
    key: two words; counter: first block of the fields, epoch and stream
    tall, broad: the Gaussian's weights, (height, height) and (width, at least width)
    """
    first, epoch, stream = counter
    height, width = out.shape[1:]
    words = np.empty((2 * height * width + 15) // 16 * 4, np.uint32)
    drawn = np.empty((2, height, width), out.dtype)
    half = np.empty((height, broad.shape[1]), out.dtype)
    moved = np.zeros((2, height, broad.shape[1]), out.dtype)
    first_image, end = partition(len(out), 1, team)
    for i in range(first_image, end):
        if elastic > 0:
            _noise(drawn.reshape(-1), words, (first, index[i], epoch, stream), key)
            for side in range(2):
                _multiply(drawn[side], broad, half)
                _multiply(tall, half, moved[side])
        _sample(pixels[i], places[i], moved, elastic, out[i])


@inner_njit(error_model="numpy")
def _noise(field, words, counter, key):
    """Set the field, flat, to numbers in (-1, 1), a byte of a random word each.

    words: (whole blocks of four,) uint32, for use here
    """
    first, image, epoch, stream = counter
    for block in range(np.uint64(len(words) // 4)):
        a, b, c, d = philox(first + block, image, epoch, stream, key[0], key[1])
        at = block * np.uint64(4)
        words[at], words[at + np.uint64(1)] = a, b
        words[at + np.uint64(2)], words[at + np.uint64(3)] = c, d
    drawn = words.view(np.uint8)
    middle, reach = like(127.5, field[0]), like(1 / 128.0, field[0])
    for i in range(np.uint64(len(field))):
        field[i] = (like(drawn[i], middle) - middle) * reach


@inner_njit(fastmath=LOOP, error_model="numpy")
def _multiply(a, b, c):
    """Set c to a @ b, small matrices, whose rows are best whole vectors."""
    m, depth, n = np.uint64(c.shape[0]), np.uint64(a.shape[1]), np.uint64(c.shape[1])
    for i in range(m):
        for j in range(n):
            c[i, j] = like(0.0, a[0, 0])
        for k in range(depth):
            factor = a[i, k]
            for j in range(n):
                c[i, j] += factor * b[k, j]


@inner_njit(fastmath=LOOP, error_model="numpy")
def _sample(pixels, place, moved, elastic, out):
    """Set an image to another's pixels, each from the four around its source.

    pixels, out: (height, width); place: (6,); moved: (2, height, at least width)
    """
    height, width = out.shape
    zero, one = like(0.0, elastic), like(1.0, elastic)
    half = like(0.5, elastic)
    for i in range(height):
        y = like(i, one) - like(height - 1, one) * half
        for j in range(width):
            x = like(j, one) - like(width - 1, one) * half
            row = place[0] * y + place[1] * x + place[2] + elastic * moved[0, i, j]
            column = place[3] * y + place[4] * x + place[5] + elastic * moved[1, i, j]
            row = min(max(row, -one), like(height, one))
            column = min(max(column, -one), like(width, one))
            top, left = int(np.floor(row)), int(np.floor(column))
            down, right = row - like(top, one), column - like(left, one)
            total = zero
            for k in range(2):
                for m in range(2):
                    if 0 <= top + k < height and 0 <= left + m < width:
                        weight_y = down if k else one - down
                        weight_x = right if m else one - right
                        pixel = like(pixels[top + k, left + m], one)
                        total += weight_y * weight_x * pixel
            out[i, j] = total
