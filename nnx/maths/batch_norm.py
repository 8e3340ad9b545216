"""Batch normalization of a layer's products, before the activation.

Source: Ioffe and Szegedy, arXiv:1502.03167, whose beta is the layer's bias.
"""

from typing import NamedTuple

from nnx.maths.arrays import Array, Namespace
from nnx.maths.shards import Sharded
from nnx.maths.state import Layer, NormalizedLayer, RunningStats

EPSILON = 1e-5  # added to variances
MOMENTUM = 0.1  # weight of a batch in the running statistics


class Normalized(NamedTuple):
    """What `backward` needs of `forward`.

    values: (z - mean) · scale, (shard, out_features)
    scale: 1 / √(variance + ε), (out_features,)
    n: images in all shards; if 1, mean and variance were the running ones
    """

    values: Array
    scale: Array
    n: int


def forward(
    z: Array, layer: NormalizedLayer, stats: RunningStats, *, xp: Namespace
) -> Sharded[tuple[Array, Normalized, RunningStats]]:
    """Return gamma · normalized z + bias, what backward needs, and the new statistics.

    Mean and variance are taken over all shards of the batch. A batch of one image has
    no variance: the running statistics normalize it, and it does not change them.

    z: (shard, out_features), the layer's products without bias
    """
    total, n = yield xp.sum(z, axis=0), z.shape[0]
    if n == 1:
        scale = 1.0 / xp.sqrt(stats.variance + EPSILON)
        normalized = Normalized((z - stats.mean) * scale, scale, n)
        return layer.gamma * normalized.values + layer.bias, normalized, stats
    mean = total / n
    centred = z - mean
    squares = yield xp.sum(centred * centred, axis=0)
    variance = squares / n
    scale = 1.0 / xp.sqrt(variance + EPSILON)
    normalized = Normalized(centred * scale, scale, n)
    renewed = RunningStats(
        (1.0 - MOMENTUM) * stats.mean + MOMENTUM * mean,
        (1.0 - MOMENTUM) * stats.variance + MOMENTUM * n / (n - 1) * variance,
    )
    return layer.gamma * normalized.values + layer.bias, normalized, renewed


def backward(
    dy: Array, gamma: Array, normalized: Normalized, *, xp: Namespace
) -> Sharded[tuple[Array, Array, Array]]:
    """Return dz, and the shard's parts of dgamma and dbias.

    dy: (shard, out_features), the gradient of the loss with respect to forward's result
    """
    dbias = xp.sum(dy, axis=0)
    dgamma = xp.sum(dy * normalized.values, axis=0)
    if normalized.n == 1:
        return dy * (gamma * normalized.scale), dgamma, dbias
    slopes, along = yield dbias, dgamma
    n = normalized.n
    centred = dy - slopes / n - normalized.values * (along / n)
    return centred * (gamma * normalized.scale), dgamma, dbias


def fold(layer: NormalizedLayer, stats: RunningStats, *, xp: Namespace) -> Layer:
    """Return the plain layer that computes what this one does at inference."""
    scale = layer.gamma / xp.sqrt(stats.variance + EPSILON)
    return Layer(layer.weight * scale, layer.bias - stats.mean * scale)
