"""The product of a dense layer, z = x @ weight + bias, and its gradients."""

from nnx.maths.arrays import Array


def forward(x: Array, weight: Array, bias: Array) -> Array:
    """Return the inputs of the layer's activation.

    x: (batch, in_features)
    weight: (in_features, out_features)
    bias: (out_features,)
    returns: (batch, out_features)
    """
    return x @ weight + bias


def backward(
    dz: Array, x: Array, weight: Array, *, input_gradient: bool
) -> tuple[Array | None, Array]:
    """Return the gradients of the loss with respect to x and weight.

    dz: (batch, out_features); its sum over the batch is the gradient of the bias
    input_gradient: whether to compute dx, which the first layer never needs
    returns: dx, dweight, shaped like x and weight; dx is None if not computed
    """
    return dz @ weight.T if input_gradient else None, x.T @ dz
