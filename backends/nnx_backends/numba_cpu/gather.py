"""The batch's images as the network is given them: gathered, scaled, and noisy."""

from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from nnx.maths.hyperparameters import Stream
from nnx_backends.numba_cpu.elementary import HALF, LOOP, WORD, like, philox
from nnx_backends.numba_cpu.kernel import Kernel
from nnx_backends.numba_cpu.records import inputs, of_block, pixel_parts
from nnx_backends.numba_cpu.vectors import pointer_at

NOISE = np.uint64(Stream.NOISE)
AHEAD = np.uint64(3)  # images that are asked for before they are needed

pixel: Any = None  # each kernel's own: 0 in the pixels' type


def _gather(run, layer, step, hyper):
    """Set what this thread reads of the block's images to their pixels, scaled."""
    pixels, x = pointer_at(run.pixels, pixel), inputs(run, layer, step)
    scale = like(hyper.pixel_scale, run.one)
    for part in pixel_parts(layer, step):
        _copy(
            pixels,
            layer.inputs,
            of_block(run, step, run.order, 8, np.int64(0)),
            part,
            scale,
            x,
        )


@cache
def images(dtype: Any) -> Kernel:
    """Return the kernel that gathers pixels of a type."""
    return Kernel(_gather, str(dtype), pixel=dtype.type(0))


def _noise(run, layer, step, hyper):
    """Add noise to what this thread reads of the images."""
    x, deviation = inputs(run, layer, step), hyper.input_noise * hyper.pixel_range
    for part in pixel_parts(layer, step):
        _add_noise(x, part, deviation, run, step)


NOISY = Kernel(_noise)


@njit(nogil=True, fastmath=LOOP, error_model="numpy")
def _copy(pixels, width, index, part, scale, x):
    """Set a block of the images.

    They lie anywhere in memory, so the ones after the next few are asked for early.
    """
    stride, itemsize = np.uint64(width), np.uint64(_itemsize(pixels))
    for i in range(part.top, part.bottom):
        at = np.uint64(index[i]) * stride
        if i + AHEAD < part.bottom:
            later = np.uint64(index[i + AHEAD]) * stride
            for k in range(part.left, part.right, np.uint64(64) // itemsize):
                _prefetch(pixels, later + k)
        for k in range(part.left, part.right):
            x[i, k] = like(pixels[at + k], scale) * scale


@intrinsic
def _itemsize(typing, pointer):
    """Return the bytes of what a pointer points to."""

    def generate(context, builder, signature, args):
        return context.get_constant(types.uint64, pointer.dtype.bitwidth // 8)

    return types.uint64(pointer), generate


@intrinsic
def _prefetch(typing, pointer, place):
    """Ask for the cache line that a number lies in."""

    def generate(context, builder, signature, args):
        address = builder.gep(args[0], [args[1]])
        i32 = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [address.type, i32, i32, i32])
        name = "llvm.prefetch.p0"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        # For reading, to be kept in every cache, as data.
        builder.call(function, [address, i32(0), i32(3), i32(1)])
        return context.get_dummy_value()

    return types.void(pointer, types.uint64), generate


@njit(nogil=True, error_model="numpy")
def _add_noise(x, part, deviation, run, step):
    """Add noise to a block of images; see `nnx.maths.steps.input_noise`."""
    four, above = np.uint64(4), np.uint64(step.row)
    number, low, high = np.uint64(step.number) & WORD, run.seed & WORD, run.seed >> HALF
    last = (part.right + four - np.uint64(1)) // four
    for i in range(part.top, part.bottom):
        for j in range(part.left // four, last):
            words = philox(j, above + i, number, NOISE, low, high)
            for pair in range(np.uint64(2)):
                first, second = words[2 * pair], words[2 * pair + 1]
                radius = deviation * np.sqrt(-2.0 * np.log((first + 0.5) * 2.0**-32))
                angle = 2.0 * np.pi * ((second + 0.5) * 2.0**-32)
                k = j * four + np.uint64(2) * pair
                if part.left <= k < part.right:
                    x[i, k] += like(radius * np.cos(angle), x[0, 0])
                k += np.uint64(1)
                if part.left <= k < part.right:
                    x[i, k] += like(radius * np.sin(angle), x[0, 0])
