"""Activations and their gradients; most gradients need only the output `y`.

Each pair is y = f(z) and dz = dy · f'(z). The arrays may have any shape, the same for
all. Branches are products with 0 and 1, because NumPy's `where` is ten times slower.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from nnx.maths.arrays import Array, Namespace

LEAKY_SLOPE = 0.01  # Maas, Hannun and Ng, 2013
GELU_SCALE, GELU_CUBIC = math.sqrt(2.0 / math.pi), 0.044715


class Activation(NamedTuple):
    """A function y = f(z, xp=xp) and its gradient dz = g(dy, y, xp=xp).

    from_z: whether the gradient is g(dy, z, xp=xp) instead, because f' cannot be
        computed from y
    bends: whether f bends at 0, as relu does: its first or second derivative jumps
    init: the initial weights that suit it, of `initializers`; He's are for rectifiers
        (He, Zhang, Ren and Sun, arXiv:1502.01852)
    """

    forward: Callable[..., Array]
    backward: Callable[..., Array]
    from_z: bool = False
    bends: bool = False
    init: str = "glorot"


def identity(z: Array, *, xp: Namespace) -> Array:
    """Return z."""
    return z


def identity_backward(dy: Array, y: Array, *, xp: Namespace) -> Array:
    """Return dz, as f' = 1."""
    return dy


def relu(z: Array, *, xp: Namespace) -> Array:
    """Return max(z, 0)."""
    return xp.maximum(z, 0.0)


def relu_backward(dy: Array, y: Array, *, xp: Namespace) -> Array:
    """Return dz; f'(0) is taken as 0."""
    return dy * xp.astype(y > 0, dy.dtype)


def leaky_relu(z: Array, *, xp: Namespace) -> Array:
    """Return z where z is positive, and 0.01 z elsewhere."""
    return xp.maximum(z, LEAKY_SLOPE * z)


def leaky_relu_backward(dy: Array, y: Array, *, xp: Namespace) -> Array:
    """Return dz; y has the sign of z."""
    return dy * xp.maximum(xp.astype(y > 0, dy.dtype), LEAKY_SLOPE)


def elu(z: Array, *, xp: Namespace) -> Array:
    """Return z where z is positive, and exp(z) - 1 elsewhere.

    Source: Clevert, Unterthiner and Hochreiter, arXiv:1511.07289, with α = 1.
    """
    return xp.maximum(z, 0.0) + xp.expm1(xp.minimum(z, 0.0))


def elu_backward(dy: Array, y: Array, *, xp: Namespace) -> Array:
    """Return dz; below 0, f' = exp(z) = y + 1."""
    return dy * (xp.minimum(y, 0.0) + 1.0)


def tanh(z: Array, *, xp: Namespace) -> Array:
    """Return the hyperbolic tangent."""
    return xp.tanh(z)


def tanh_backward(dy: Array, y: Array, *, xp: Namespace) -> Array:
    """Return dz; f' = 1 - y²."""
    return dy * (1.0 - y * y)


def sigmoid(z: Array, *, xp: Namespace) -> Array:
    """Return 1 / (1 + exp(-z)); no z overflows."""
    return xp.exp(xp.minimum(z, 0.0)) / (1.0 + xp.exp(-xp.abs(z)))


def sigmoid_backward(dy: Array, y: Array, *, xp: Namespace) -> Array:
    """Return dz; f' = y (1 - y)."""
    return dy * (y * (1.0 - y))


def softplus(z: Array, *, xp: Namespace) -> Array:
    """Return log(1 + exp(z)); no z overflows."""
    return xp.maximum(z, 0.0) + xp.log1p(xp.exp(-xp.abs(z)))


def softplus_backward(dy: Array, y: Array, *, xp: Namespace) -> Array:
    """Return dz; f' is the sigmoid of z, which is 1 - exp(-y)."""
    return -dy * xp.expm1(-y)


def silu(z: Array, *, xp: Namespace) -> Array:
    """Return z · sigmoid(z).

    Source: Elfwing, Uchibe and Doya, arXiv:1702.03118; also called swish.
    """
    return z * sigmoid(z, xp=xp)


def silu_backward(dy: Array, z: Array, *, xp: Namespace) -> Array:
    """Return dz; with s = sigmoid(z), f' = s (1 + z (1 - s))."""
    s = sigmoid(z, xp=xp)
    return dy * (s * (1.0 + z * (1.0 - s)))


def gelu(z: Array, *, xp: Namespace) -> Array:
    """Return the tanh approximation of z · Φ(z); Φ: the standard normal CDF.

    Source: Hendrycks and Gimpel, arXiv:1606.08415.
    """
    return 0.5 * z * (1.0 + _gelu_tanh(z, xp=xp))


def gelu_backward(dy: Array, z: Array, *, xp: Namespace) -> Array:
    """Return dz; with t = tanh(u(z)), f' = (1 + t)/2 + z/2 · (1 - t²) · u'(z)."""
    t = _gelu_tanh(z, xp=xp)
    inner = GELU_SCALE * (1.0 + 3.0 * GELU_CUBIC * z * z)
    return dy * (0.5 * (1.0 + t) + 0.5 * z * (1.0 - t * t) * inner)


def _gelu_tanh(z: Array, *, xp: Namespace) -> Array:
    return xp.tanh(GELU_SCALE * (z + GELU_CUBIC * z * z * z))


ACTIVATIONS = {
    "identity": Activation(identity, identity_backward),
    "relu": Activation(relu, relu_backward, bends=True, init="he"),
    "leaky_relu": Activation(leaky_relu, leaky_relu_backward, bends=True, init="he"),
    "elu": Activation(elu, elu_backward, bends=True, init="he"),
    "tanh": Activation(tanh, tanh_backward),
    "sigmoid": Activation(sigmoid, sigmoid_backward),
    "softplus": Activation(softplus, softplus_backward),
    "silu": Activation(silu, silu_backward, from_z=True),
    "gelu": Activation(gelu, gelu_backward, from_z=True),
}
