"""A stack of dense layers: forward keeps what backward needs."""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from nnx.maths import batch_norm
from nnx.maths.activations import ACTIVATIONS
from nnx.maths.batch_norm import Moments, Normalized
from nnx.maths.kernels import Array, Kernels, Namespace


class Layer(NamedTuple):
    """Parameters of one dense layer; its gradients have the same form.

    weight: (in_features, out_features)
    bias: (out_features,)
    """

    weight: Array
    bias: Array


class NormedLayer(NamedTuple):
    """Parameters of a layer with batch normalization; shapes as in `Layer`.

    gain: (out_features,)
    """

    weight: Array
    bias: Array
    gain: Array


Layers: TypeAlias = Sequence[Layer]
Trained: TypeAlias = Sequence[Layer | NormedLayer]


class Trace(NamedTuple):
    """What backward needs of a layer.

    x: (batch, in_features), with the units left out that dropout leaves out
    kept: (batch, out_features), the output y, or z where the activation's gradient
        asks for it
    """

    x: Array
    kept: Array
    normalized: Normalized | None = None


def logits(
    layers: Layers, x: Array, activations: Sequence[str], kernels: Kernels
) -> Array:
    """Return the logits of a network in use, (batch, classes).

    layers: none with batch normalization; see `folded`
    x: (batch, in_features)
    activations: the name of each layer's activation
    """
    for layer, activation in zip(layers, activations, strict=True):
        _, x = _plain_forward(layer, x, activation, kernels)
    return x


def forward(
    layers: Trained,
    x: Array,
    activations: Sequence[str],
    kernels: Kernels,
    moments: Sequence[Moments] = (),
    factors: Sequence[Array] = (),
) -> tuple[list[Trace], list[Moments], Array]:
    """Return what backward needs of each layer, the moments then, and the logits.

    x: (batch, in_features)
    moments: of each layer with batch normalization
    factors: what each layer's input is multiplied by, like it; none without dropout
    """
    traces, renewed = [], list[Moments]()
    for i, (layer, activation) in enumerate(zip(layers, activations, strict=True)):
        x = x * factors[i] if factors else x
        if isinstance(layer, NormedLayer):
            xp, before = kernels.xp, moments[len(renewed)]
            z, normalized, after = batch_norm.forward(
                x @ layer.weight, layer.gain, layer.bias, before, xp=xp
            )
            y = ACTIVATIONS[activation].forward(z, xp=xp)
            kept = z if ACTIVATIONS[activation].from_z else y
            traces.append(Trace(x, kept, normalized))
            renewed.append(after)
        else:
            kept, y = _plain_forward(layer, x, activation, kernels)
            traces.append(Trace(x, kept))
        x = y
    return traces, renewed, x


def _plain_forward(
    layer: Layer, x: Array, activation: str, kernels: Kernels
) -> tuple[Array, Array]:
    """Return what the activation's gradient needs, and the layer's output."""
    from_z = ACTIVATIONS[activation].from_z
    kept = kernels.dense_forward(
        x,
        layer.weight,
        layer.bias,
        activation="identity" if from_z else activation,
        xp=kernels.xp,
    )
    if not from_z:
        return kept, kept
    return kept, ACTIVATIONS[activation].forward(kept, xp=kernels.xp)


def backward(
    layers: Trained,
    traces: Sequence[Trace],
    dlogits: Array,
    activations: Sequence[str],
    kernels: Kernels,
    factors: Sequence[Array] = (),
) -> Trained:
    """Return the gradient of every layer, in the layers' own form.

    traces: as `forward` returned them, with the same factors
    dlogits: (batch, classes)
    """
    gradients: list[Layer | NormedLayer] = []
    dy = dlogits
    for i in reversed(range(len(layers))):
        dy, gradient = _layer_backward(
            layers[i], traces[i], dy, activations[i], i > 0, kernels
        )
        gradients.append(gradient)
        if i > 0 and factors:
            dy = dy * factors[i]
    return gradients[::-1]


def _layer_backward(
    layer: Layer | NormedLayer,
    trace: Trace,
    dy: Array,
    activation: str,
    input_gradient: bool,
    kernels: Kernels,
) -> tuple[Array | None, Layer | NormedLayer]:
    """Return the gradient with respect to the layer's input, and its parameters'."""
    xp, kept = kernels.xp, trace.kept
    if ACTIVATIONS[activation].from_z or trace.normalized is not None:
        dy = ACTIVATIONS[activation].backward(dy, kept, xp=xp)
        activation = "identity"
    if isinstance(layer, NormedLayer) and trace.normalized is not None:
        dy, dgain, dshift = batch_norm.backward(dy, layer.gain, trace.normalized, xp=xp)
    dx, dweight, dbias = kernels.dense_backward(
        dy,
        trace.x,
        kept,
        layer.weight,
        activation=activation,
        input_gradient=input_gradient,
        xp=xp,
    )
    if trace.normalized is not None:
        return dx, NormedLayer(dweight, dshift, dgain)
    return dx, Layer(dweight, dbias)


def folded(
    layers: Trained, moments: Sequence[Moments], *, xp: Namespace
) -> list[Layer]:
    """Return plain layers that do as these do in use.

    moments: of each layer with batch normalization
    """
    each = iter(moments)
    return [
        Layer(*batch_norm.folded(*layer, next(each), xp=xp))
        if isinstance(layer, NormedLayer)
        else layer
        for layer in layers
    ]
