"""Batch normalization of a layer's products, before its activation.

Ioffe and Szegedy, arXiv:1502.03167. The gain and bias are what they call gamma and
beta.
"""

from typing import NamedTuple

from nnx.maths.kernels import Array, Namespace

EPSILON = 1e-5  # added to variances
RENEWAL = 0.1  # of the running moments that a batch replaces


class Moments(NamedTuple):
    """Each unit's running mean and variance; both (out_features,)."""

    mean: Array
    variance: Array


class Normalized(NamedTuple):
    """What backward needs: (z - mean) · scale, where scale is 1 / √(variance + ε).

    values: (batch, out_features); scale: (out_features,)
    running: whether mean and variance were the running ones
    """

    values: Array
    scale: Array
    running: bool


def forward(
    z: Array, gain: Array, bias: Array, moments: Moments, *, xp: Namespace
) -> tuple[Array, Normalized, Moments]:
    """Return gain · normalized z + bias, what backward needs, and the moments then.

    One image alone has no variance: it is normalized by the running moments, and does
    not change them.

    z: (batch, out_features), without bias; gain, bias: (out_features,)
    """
    n = z.shape[0]
    if n == 1:
        scale = 1.0 / xp.sqrt(moments.variance + EPSILON)
        kept = Normalized((z - moments.mean) * scale, scale, running=True)
        return gain * kept.values + bias, kept, moments
    mean = xp.sum(z, axis=0) / n
    centred = z - mean
    variance = xp.sum(centred * centred, axis=0) / n
    scale = 1.0 / xp.sqrt(variance + EPSILON)
    kept = Normalized(centred * scale, scale, running=False)
    renewed = Moments(
        (1.0 - RENEWAL) * moments.mean + RENEWAL * mean,
        (1.0 - RENEWAL) * moments.variance + RENEWAL * n / (n - 1) * variance,
    )
    return gain * kept.values + bias, kept, renewed


def backward(
    dy: Array, gain: Array, kept: Normalized, *, xp: Namespace
) -> tuple[Array, Array, Array]:
    """Return dz, dgain and dbias.

    dy: (batch, out_features), the loss's gradient with respect to forward's result
    """
    n = dy.shape[0]
    dbias = xp.sum(dy, axis=0)
    dgain = xp.sum(dy * kept.values, axis=0)
    if kept.running:
        return dy * (gain * kept.scale), dgain, dbias
    centred = dy - dbias / n - kept.values * (dgain / n)
    return centred * (gain * kept.scale), dgain, dbias


def folded(
    weight: Array, bias: Array, gain: Array, moments: Moments, *, xp: Namespace
) -> tuple[Array, Array]:
    """Return the weight and bias of a plain layer that does as this one in use."""
    scale = gain / xp.sqrt(moments.variance + EPSILON)
    return weight * scale, bias - moments.mean * scale
