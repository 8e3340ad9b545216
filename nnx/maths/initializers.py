"""Initial weights, drawn from the counter-based generator."""

import math
from collections.abc import Callable
from typing import TypeAlias

from nnx.maths.arrays import Array, Namespace
from nnx.maths.hyperparameters import Stream
from nnx.maths.random import normal, uniform, words

Draw: TypeAlias = Callable[[int], Array]  # takes the number of random words to draw


def gaussian(sigma: float, shape: tuple[int, int], draw: Draw, xp: Namespace) -> Array:
    """Return weights from N(0, σ²)."""
    count = shape[0] * shape[1]
    values = normal(draw(count + count % 2), xp=xp)[:count]
    return xp.reshape(sigma * values, shape)


def he(shape: tuple[int, int], draw: Draw, xp: Namespace) -> Array:
    """Return weights from N(0, 2/in_features): He et al., arXiv:1502.01852."""
    return gaussian(math.sqrt(2.0 / shape[0]), shape, draw, xp)


def lecun(shape: tuple[int, int], draw: Draw, xp: Namespace) -> Array:
    """Return weights from N(0, 1/in_features): LeCun et al., Efficient BackProp."""
    return gaussian(math.sqrt(1.0 / shape[0]), shape, draw, xp)


def glorot(shape: tuple[int, int], draw: Draw, xp: Namespace) -> Array:
    """Return weights uniform in ±√(6/(in_features + out_features)).

    Source: Glorot and Bengio, AISTATS 2010, equation 16.
    """
    limit = math.sqrt(6.0 / (shape[0] + shape[1]))
    values = uniform(draw(shape[0] * shape[1]), xp=xp)
    return xp.reshape(limit * (2.0 * values - 1.0), shape)


def zeros(shape: tuple[int, int], draw: Draw, xp: Namespace) -> Array:
    """Return weights that are all zero."""
    return xp.zeros(shape, dtype=xp.float64)


INITIALIZERS: dict[str, Callable[..., Array]] = {
    "he": he,
    "glorot": glorot,
    "lecun": lecun,
    "zeros": zeros,
}


def weight(
    name: str, shape: tuple[int, int], *, seed: int, layer: int, xp: Namespace
) -> Array:
    """Return a layer's initial weight, float64.

    name: a name in `INITIALIZERS`, or `normal:σ` for N(0, σ²)
    shape: (in_features, out_features)
    layer: the layer's number, from 0; each layer has draws of its own
    """

    def draw(count: int) -> Array:
        return words(count, seed=seed, stream=Stream.WEIGHTS, step=layer, xp=xp)

    family, _, sigma = name.partition(":")
    if family == "normal":
        return gaussian(float(sigma), shape, draw, xp)
    return INITIALIZERS[family](shape, draw, xp)
