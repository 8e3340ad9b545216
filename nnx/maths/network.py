"""A stack of dense layers: forward keeps what backward needs."""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from nnx.maths.kernels import Array, Kernels


class Layer(NamedTuple):
    """Parameters of one dense layer; its gradients have the same form.

    weight: (in_features, out_features)
    bias: (out_features,)
    """

    weight: Array
    bias: Array


Layers: TypeAlias = list[Layer]


def forward(
    layers: Layers, x: Array, activations: Sequence[str], kernels: Kernels
) -> list[Array]:
    """Return [x, hidden outputs …, logits].

    x: (batch, in_features)
    activations: the name of each layer's activation
    returns: arrays (batch, out_features), one more than there are layers
    """
    outputs = [x]
    for (weight, bias), activation in zip(layers, activations, strict=True):
        y = kernels.dense_forward(
            outputs[-1], weight, bias, activation=activation, xp=kernels.xp
        )
        outputs.append(y)
    return outputs


def backward(
    layers: Layers,
    outputs: list[Array],
    dlogits: Array,
    activations: Sequence[str],
    kernels: Kernels,
) -> Layers:
    """Return the gradient of every layer, in the layers' own form.

    outputs: as `forward` returned them
    dlogits: (batch, classes)
    """
    gradients: Layers = []
    dy = dlogits
    for i in reversed(range(len(layers))):
        dy, dweight, dbias = kernels.dense_backward(
            dy,
            outputs[i],
            outputs[i + 1],
            layers[i].weight,
            activation=activations[i],
            input_gradient=i > 0,
            xp=kernels.xp,
        )
        gradients.append(Layer(dweight, dbias))
    return gradients[::-1]
