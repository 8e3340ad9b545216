"""A dense layer, y = f(x @ weight + bias), and its gradients."""

from nnx.maths.activations import ACTIVATIONS
from nnx.maths.arrays import Array, Namespace


def forward(
    x: Array, weight: Array, bias: Array, *, activation: str, xp: Namespace
) -> Array:
    """Return the layer's output.

    x: (batch, in_features)
    weight: (in_features, out_features)
    bias: (out_features,)
    activation: a name in `ACTIVATIONS`
    returns: (batch, out_features)
    """
    return ACTIVATIONS[activation].forward(x @ weight + bias, xp=xp)


def backward(
    dy: Array,
    x: Array,
    y: Array,
    weight: Array,
    *,
    activation: str,
    input_gradient: bool,
    xp: Namespace,
) -> tuple[Array | None, Array, Array]:
    """Return the gradients of the loss with respect to x, weight and bias.

    dy, y: (batch, out_features); y as `forward` returned it
    x: (batch, in_features)
    weight: (in_features, out_features)
    input_gradient: whether to compute dx, which the first layer never needs
    returns: dx, dweight, dbias, shaped like x, weight and bias; dx is None if not
        computed
    """
    dz = ACTIVATIONS[activation].backward(dy, y, xp=xp)
    dx, dweight = product_backward(dz, x, weight, input_gradient=input_gradient)
    return dx, dweight, xp.sum(dz, axis=0)


def product_backward(
    dz: Array, x: Array, weight: Array, *, input_gradient: bool
) -> tuple[Array | None, Array]:
    """Return dx and dweight of the product z = x @ weight; see `backward`."""
    return dz @ weight.T if input_gradient else None, x.T @ dz
