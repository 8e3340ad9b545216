"""Distorted images by a compiled kernel."""

import numpy as np
from nnx.maths.kernels import Array, Namespace

from nnx.maths import distortion, random
from nnx.maths.distortion import Distortion
from nnx_backends.numba_kernels import bend
from nnx_backends.numba_threads import read_only, together

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
    threads: int,
) -> Array:
    """Return images distorted anew; like `nnx.maths.distortion.distort`."""
    real = like.dtype
    places = distortion.matrices(index, size, amounts, seed=seed, epoch=epoch, xp=xp)
    tall, broad = (distortion.gaussian(n, amounts, like, xp=xp) for n in size)
    broad = np.pad(broad, ((0, 0), (0, -size[1] % LANES)))  # rows of whole vectors
    out = np.empty((len(index), *size), real)
    first, stream = distortion.OWN // 4, random.Stream.DISTORTION
    together(
        max(1, min(threads, len(index))),
        bend.distort,
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
