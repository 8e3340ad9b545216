"""Batch normalization of a layer's products, before its activation.

Ioffe and Szegedy, arXiv:1502.03167. A layer's bias is what they call beta.
"""

from typing import NamedTuple

from nnx.maths.arrays import Array, Namespace
from nnx.maths.state import Layer, NormalizedLayer, RunningStats

EPSILON = 1e-5  # added to variances
MOMENTUM = 0.1  # share of the running statistics that a batch replaces


class Normalized(NamedTuple):
    """What backward needs: (z - mean) · scale, where scale is 1 / √(variance + ε).

    values: (batch, out_features); scale: (out_features,)
    running: whether mean and variance were the running ones
    """

    values: Array
    scale: Array
    running: bool


def forward(
    z: Array, layer: NormalizedLayer, stats: RunningStats, *, xp: Namespace
) -> tuple[Array, Normalized, RunningStats]:
    """Return gamma · normalized z + bias, what backward needs, and the new statistics.

    One image alone has no variance: it is normalized by the running statistics, and
    does not change them.

    z: (batch, out_features), the layer's products without bias
    """
    n = z.shape[0]
    if n == 1:
        scale = 1.0 / xp.sqrt(stats.variance + EPSILON)
        normalized = Normalized((z - stats.mean) * scale, scale, running=True)
        return layer.gamma * normalized.values + layer.bias, normalized, stats
    mean = xp.sum(z, axis=0) / n
    centred = z - mean
    variance = xp.sum(centred * centred, axis=0) / n
    scale = 1.0 / xp.sqrt(variance + EPSILON)
    normalized = Normalized(centred * scale, scale, running=False)
    renewed = RunningStats(
        (1.0 - MOMENTUM) * stats.mean + MOMENTUM * mean,
        (1.0 - MOMENTUM) * stats.variance + MOMENTUM * n / (n - 1) * variance,
    )
    return layer.gamma * normalized.values + layer.bias, normalized, renewed


def backward(
    dy: Array, gamma: Array, normalized: Normalized, *, xp: Namespace
) -> tuple[Array, Array, Array]:
    """Return dz, dgamma and dbias.

    dy: (batch, out_features), the loss's gradient with respect to forward's result
    """
    n = dy.shape[0]
    dbias = xp.sum(dy, axis=0)
    dgamma = xp.sum(dy * normalized.values, axis=0)
    if normalized.running:
        return dy * (gamma * normalized.scale), dgamma, dbias
    centred = dy - dbias / n - normalized.values * (dgamma / n)
    return centred * (gamma * normalized.scale), dgamma, dbias


def fold(layer: NormalizedLayer, stats: RunningStats, *, xp: Namespace) -> Layer:
    """Return the plain layer that does what this one does outside training."""
    scale = layer.gamma / xp.sqrt(stats.variance + EPSILON)
    return Layer(layer.weight * scale, layer.bias - stats.mean * scale)
