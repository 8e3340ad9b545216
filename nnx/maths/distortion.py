"""Random distortion of training images: shift, rotation, scale, shear and bending.

Elastic distortion moves each pixel by a random field smoothed with a Gaussian: Simard,
Steinkraus and Platt, "Best practices for convolutional neural networks applied to
visual document analysis", ICDAR 2003.
"""

import math

from nnx.maths import random
from nnx.maths.arrays import Array, Namespace, device_of
from nnx.maths.blocks import block_count
from nnx.maths.hyperparameters import Distortion, Stream

# Random words per image for its affine map, whole blocks of four. The words of its
# elastic field follow.
OWN = 8
BYTES = 4  # per word; a field takes one for each pixel


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
) -> Array:
    """Return distorted images, (n, height * width), in `like`'s dtype.

    Pixels beyond the edge count as 0. The draws depend only on the seed, the epoch and
    the image's number, and are the same bits on every backend.

    pixels: (n, height * width), of any numeric dtype
    index: (n,), int64 in [0, 2³²), the images' numbers
    size: height, width
    amounts: upper bounds of the distortion
    """
    shape = index.shape[0], math.prod(size)
    places = matrices(index, size, amounts, seed=seed, epoch=epoch, xp=xp)
    rows, columns = _affine(places, size, like, xp=xp)
    if amounts.elastic > 0:
        count = block_count(2 * math.prod(size), BYTES)  # of two fields
        bits = _words(index, count, OWN // 4, seed, epoch, xp=xp)
        down, right = _field(bits, size, amounts, like, xp=xp)
        rows, columns = rows + down, columns + right
    sources = xp.reshape(rows, shape), xp.reshape(columns, shape)
    return _bilinear(xp.astype(pixels, like.dtype), sources, size, xp=xp)


def matrices(
    index: Array,
    size: tuple[int, int],
    amounts: Distortion,
    *,
    seed: int,
    epoch: int,
    xp: Namespace,
) -> Array:
    """Return each image's affine map, without elastic distortion, (n, 6) float64.

    The map takes a pixel's row r and column c, measured from the middle, to its source:
    row m0 · r + m1 · c + m2, column m3 · r + m4 · c + m5. Arguments as for `distort`.
    """
    bits = xp.reshape(_words(index, OWN, 0, seed, epoch, xp=xp), (-1,))
    drawn = xp.reshape(2.0 * random.uniform(bits, xp=xp) - 1.0, (index.shape[0], OWN))
    down, right = amounts.shift * drawn[:, 0], amounts.shift * drawn[:, 1]
    angle = math.radians(amounts.rotation) * drawn[:, 2]
    tall, broad = (1.0 + amounts.scale * drawn[:, i] for i in (3, 4))
    slant = amounts.shear * drawn[:, 5]
    cos, sin = xp.cos(angle), xp.sin(angle)
    middle = (size[0] - 1) / 2, (size[1] - 1) / 2
    rows = [tall * cos, -broad * sin, down + middle[0]]
    columns = [tall * sin + slant, broad * cos, right + middle[1]]
    return xp.stack(rows + columns, axis=1)


def _words(
    index: Array, count: int, first: int, seed: int, epoch: int, *, xp: Namespace
) -> Array:
    """Return random words for each image, (n, count).

    first: the generator's block of four words to begin with
    """
    stream = Stream.DISTORTION
    return random.words_each(
        index, count, first=first, seed=seed, stream=stream, time=epoch, xp=xp
    )


def _affine(
    places: Array, size: tuple[int, int], like: Array, *, xp: Namespace
) -> tuple[Array, Array]:
    """Return the source row and column of each pixel, both (n, height, width)."""
    y, x = (
        xp.arange(n, dtype=like.dtype, device=device_of(like)) - (n - 1) / 2
        for n in size
    )
    a, b, c, d, e, f = (
        xp.astype(places[:, i], like.dtype)[:, None, None] for i in range(6)
    )
    y, x = y[None, :, None], x[None, None, :]
    return a * y + b * x + c, d * y + e * x + f


def _field(
    bits: Array,
    size: tuple[int, int],
    amounts: Distortion,
    like: Array,
    *,
    xp: Namespace,
) -> tuple[Array, Array]:
    """Return how far each pixel moves down and right, both (n, height, width).

    bits: (n, words); a byte per number is enough, as smoothing sums hundreds of them
    """
    height, width = size
    parts = [(bits >> shift) & 0xFF for shift in (0, 8, 16, 24)]
    numbers = xp.reshape(
        xp.stack(parts, axis=2), (bits.shape[0], BYTES * bits.shape[1])
    )
    field = (xp.astype(numbers[:, : 2 * height * width], like.dtype) - 127.5) / 128.0
    # Smoothing in each direction is one product of all rows with a band matrix.
    across = xp.matmul(
        xp.reshape(field, (-1, width)), gaussian(width, amounts, like, xp=xp)
    )
    turned = xp.permute_dims(xp.reshape(across, (-1, height, width)), (0, 2, 1))
    down = xp.matmul(
        xp.reshape(turned, (-1, height)), gaussian(height, amounts, like, xp=xp)
    )
    fields = xp.permute_dims(xp.reshape(down, (-1, width, height)), (0, 2, 1))
    moved = amounts.elastic * xp.reshape(fields, (bits.shape[0], 2, height, width))
    return moved[:, 0, :, :], moved[:, 1, :, :]


def gaussian(n: int, amounts: Distortion, like: Array, *, xp: Namespace) -> Array:
    """Return the matrix of a Gaussian filter, (n, n); beyond the edge, values are 0.

    The weights of all integer distances up to 4 sigma add up to 1, as in scipy.ndimage.
    """
    reach = int(4.0 * amounts.sigma + 0.5)
    total = sum(
        math.exp(-0.5 * (d / amounts.sigma) ** 2) for d in range(-reach, reach + 1)
    )
    place = xp.arange(n, dtype=like.dtype, device=device_of(like))
    apart = place[:, None] - place[None, :]
    near = xp.astype(xp.abs(apart) <= reach, like.dtype)
    return near * xp.exp(-0.5 * (apart / amounts.sigma) ** 2) / total


def _bilinear(
    pixels: Array, sources: tuple[Array, Array], size: tuple[int, int], *, xp: Namespace
) -> Array:
    """Return the images interpolated at the sources, each from four pixels around it.

    pixels, sources: (n, height * width)
    """
    height, width = size
    n = pixels.shape[0]
    framed = xp.reshape(_framed(xp.reshape(pixels, (n, height, width)), xp=xp), (-1,))
    top, y = _cell(sources[0], height, xp=xp)
    left, x = _cell(sources[1], width, xp=xp)
    image = xp.arange(n, dtype=xp.int64, device=device_of(pixels)) * (
        (height + 2) * (width + 2)
    )
    corner = image[:, None] + top * (width + 2) + left

    def at(step: int) -> Array:
        values = xp.take(framed, xp.reshape(corner + step, (-1,)), axis=0)
        return xp.reshape(values, (n, height * width))

    above = at(0) + x * (at(1) - at(0))
    below = at(width + 2) + x * (at(width + 3) - at(width + 2))
    return above + y * (below - above)


def _cell(place: Array, n: int, *, xp: Namespace) -> tuple[Array, Array]:
    """Return the framed pixel before each place, and the distance from it to the place.

    returns: int64 in [0, n], and numbers in [0, 1]
    """
    inside = xp.minimum(xp.maximum(place + 1.0, 0.0), n + 1.0)
    before = xp.minimum(xp.floor(inside), float(n))
    return xp.astype(before, xp.int64), inside - before


def _framed(images: Array, *, xp: Namespace) -> Array:
    """Return (n, height, width) images with a border of zeros, one pixel wide."""
    n, height, width = images.shape
    column = xp.zeros((n, height, 1), dtype=images.dtype, device=device_of(images))
    row = xp.zeros((n, 1, width + 2), dtype=images.dtype, device=device_of(images))
    return xp.concat([row, xp.concat([column, images, column], axis=2), row], axis=1)
