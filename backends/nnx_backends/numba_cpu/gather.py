"""The batch's images as the network receives them: gathered, scaled, and noisy."""

from functools import cache
from typing import Any

import numpy as np

from nnx.maths.hyperparameters import Stream
from nnx_backends.numba_cpu.cache import inner_njit
from nnx_backends.numba_cpu.elementary import EXACT, LOOP, like, log, turned, uniform
from nnx_backends.numba_cpu.kernel import Kernel
from nnx_backends.numba_cpu.random_words import COUNTERS, draw, store_words
from nnx_backends.numba_cpu.records import inputs, of_block, pixel_parts, vector
from nnx_backends.numba_cpu.tiles import fetch_to_read
from nnx_backends.numba_cpu.vectors import pointer_at

NOISE = np.uint64(Stream.NOISE)
PIXELS = 4 * COUNTERS  # those that get their noise at once
NOISE_BYTES = (8 + 4) * PIXELS  # per thread: float64 noise, and its words
AHEAD = np.uint64(3)  # images that are prefetched

# Set for each kernel: 0 in the pixels' type, and how many are in a cache line
pixel: Any = None
line: Any = None


def _gather(run, layer, step, hyper):
    """Set the parts of the block's images that this thread reads, scaled."""
    pixels, x = pointer_at(run.pixels, pixel), inputs(run, layer, step)
    index = of_block(run, step, run.order, 8, np.int64(0))
    scale = like(hyper.pixel_scale, run.one)
    for part in pixel_parts(layer, step):
        _copy(pixels, layer.inputs, line, index, part, scale, x)


@cache
def images(dtype: Any) -> Kernel:
    """Return the kernel that gathers pixels of a type."""
    line = np.uint64(64 // dtype.itemsize)
    return Kernel(_gather, str(dtype), pixel=dtype.type(0), line=line)


def _noise(run, layer, step, hyper):
    """Add noise to the parts of the images that this thread reads."""
    x, deviation = inputs(run, layer, step), hyper.input_noise * hyper.pixel_range
    for part in pixel_parts(layer, step):
        _add_noise(x, part, deviation, run, step)


NOISY = Kernel(_noise)


@inner_njit(fastmath=LOOP, error_model="numpy")
def _copy(pixels, width, line, index, part, scale, x):
    """Set a block of the images; line: how many pixels are in a cache line.

    They are scattered over memory, and so each is prefetched a few images ahead.
    """
    stride = np.uint64(width)
    for i in range(part.top, part.bottom):
        at = np.uint64(index[i]) * stride
        if i + AHEAD < part.bottom:
            later = np.uint64(index[i + AHEAD]) * stride
            for k in range(part.left, part.right, line):
                fetch_to_read(pixels, later + k)
        for k in range(part.left, part.right):
            x[i, k] = like(pixels[at + k], scale) * scale


@inner_njit(error_model="numpy")
def _add_noise(x, part, deviation, run, step):
    """Add noise to a block of images; see `nnx.maths.steps.input_noise`."""
    size, above = np.uint64(PIXELS), np.uint64(step.row)
    drawn = draw(run, step, NOISE)
    own = run.masks + step.rank * run.masks_apart
    noise = vector(own, PIXELS, 0.0)
    words = vector(own + 8 * PIXELS, PIXELS, np.uint32(0))
    for i in range(part.top, part.bottom):
        for b in range(part.left // size, (part.right + size - np.uint64(1)) // size):
            store_words(words, b * np.uint64(COUNTERS), above + i, drawn)
            _normal(words, noise)
            first = max(part.left, b * size)
            last = min(part.right, (b + np.uint64(1)) * size)
            for k in range(first, last):
                x[i, k] += like(noise[k - b * size] * deviation, x[0, 0])


@inner_njit(fastmath=EXACT, error_model="numpy")
def _normal(words, noise):
    """Set noise to normal numbers, four per counter; see `nnx.maths.random.normal`.

    words: (4 · COUNTERS,), the first of each counter, the second of each, …
    """
    count, four = np.uint64(COUNTERS), np.uint64(4)
    for j in range(count):
        for pair in range(np.uint64(2)):
            u = uniform(words[np.uint64(2) * pair * count + j])
            v = uniform(words[(np.uint64(2) * pair + np.uint64(1)) * count + j])
            radius, (cos, sin) = np.sqrt(-2.0 * log(u)), turned(v)
            noise[four * j + np.uint64(2) * pair] = radius * cos
            noise[four * j + np.uint64(2) * pair + np.uint64(1)] = radius * sin
