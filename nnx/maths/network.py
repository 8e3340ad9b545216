"""A stack of dense layers; `forward` caches what `backward` needs."""

from collections.abc import Sequence
from typing import NamedTuple

from nnx.maths import batch_norm, dense
from nnx.maths.activations import ACTIVATIONS
from nnx.maths.arrays import Array, Namespace
from nnx.maths.batch_norm import Normalized
from nnx.maths.ops import Ops
from nnx.maths.shards import Sharded, alone
from nnx.maths.state import (
    Layer,
    NormalizedLayer,
    Parameters,
    RunningStats,
    State,
)


class Cache(NamedTuple):
    """What `backward` needs of a layer.

    x: (batch, in_features), after dropout
    output: y, or z if the activation's gradient needs z; (batch, out_features)
    normalized: of batch normalization; None without it
    """

    x: Array
    output: Array
    normalized: Normalized | None = None


class Forward(NamedTuple):
    """The result of a forward pass.

    logits: (batch, classes)
    caches: of each layer
    running_stats: of each layer, after the batch; None without batch normalization
    """

    logits: Array
    caches: list[Cache]
    running_stats: tuple[RunningStats | None, ...]


def forward(
    layers: Parameters,
    x: Array,
    activations: Sequence[str],
    ops: Ops,
    running_stats: Sequence[RunningStats | None] = (),
    masks: Sequence[Array | None] = (),
) -> Forward:
    """Return the logits of a batch, what backward needs, and running statistics.

    x: (batch, in_features)
    activations: a name for each layer
    running_stats: of each layer, or empty if none has batch normalization
    masks: dropout's factors for each layer's input, shaped like it, or None
    """
    return alone(forward_shard(layers, x, activations, ops, running_stats, masks))


def forward_shard(
    layers: Parameters,
    x: Array,
    activations: Sequence[str],
    ops: Ops,
    running_stats: Sequence[RunningStats | None],
    masks: Sequence[Array | None],
) -> Sharded[Forward]:
    """Return the forward pass of a shard; batch normalization is over all shards.

    Arguments as for `forward`.
    """
    nothing = [None] * len(layers)
    caches, renewed = [], list[RunningStats | None]()
    parts = zip(
        layers, activations, running_stats or nothing, masks or nothing, strict=True
    )
    for layer, activation, stats, mask in parts:
        x = x if mask is None else x * mask
        f, normalized = ACTIVATIONS[activation], None
        if isinstance(layer, NormalizedLayer) and stats is not None:
            z, normalized, stats = yield from batch_norm.forward(
                x @ layer.weight, layer, stats, xp=ops.xp
            )
        else:
            z = ops.dense_forward(x, layer.weight, layer.bias)
        y = f.forward(z, xp=ops.xp)
        caches.append(Cache(x, z if f.from_z else y, normalized))
        renewed.append(stats)
        x = y
    return Forward(x, caches, tuple(renewed))


def backward(
    layers: Parameters,
    caches: Sequence[Cache],
    dlogits: Array,
    activations: Sequence[str],
    ops: Ops,
    masks: Sequence[Array | None] = (),
) -> Parameters:
    """Return the gradient of every layer, in the form of the layers.

    caches: as `forward` returned them, with the same masks
    dlogits: (batch, classes)
    """
    return alone(backward_shard(layers, caches, dlogits, activations, ops, masks))


def backward_shard(
    layers: Parameters,
    caches: Sequence[Cache],
    dlogits: Array,
    activations: Sequence[str],
    ops: Ops,
    masks: Sequence[Array | None],
) -> Sharded[Parameters]:
    """Return a shard's part of the gradients; arguments as for `backward`."""
    gradients: list[Layer | NormalizedLayer] = []
    dy: Array = dlogits
    for i in reversed(range(len(layers))):
        dy, gradient = yield from _layer_backward(
            layers[i], caches[i], dy, activations[i], i > 0, ops
        )
        gradients.append(gradient)
        mask = masks[i] if masks else None
        if i > 0 and mask is not None:
            dy = dy * mask
    return gradients[::-1]


def _layer_backward(
    layer: Layer | NormalizedLayer,
    cache: Cache,
    dy: Array,
    activation: str,
    input_gradient: bool,
    ops: Ops,
) -> Sharded[tuple[Array | None, Layer | NormalizedLayer]]:
    """Return the gradients with respect to the layer's input and its parameters."""
    dz = ACTIVATIONS[activation].backward(dy, cache.output, xp=ops.xp)
    if isinstance(layer, NormalizedLayer) and cache.normalized is not None:
        dz, dgamma, dbias = yield from batch_norm.backward(
            dz, layer.gamma, cache.normalized, xp=ops.xp
        )
        of_units: tuple[Array, ...] = (dbias, dgamma)
    else:
        of_units = (ops.xp.sum(dz, axis=0),)
    dx, dweight = dense.backward(
        dz, cache.x, layer.weight, input_gradient=input_gradient
    )
    return dx, type(layer)(dweight, *of_units)


def fold_batch_norm(
    layers: Parameters,
    running_stats: Sequence[RunningStats | None],
    *,
    xp: Namespace,
) -> list[Layer]:
    """Return plain layers that compute what these do at inference.

    running_stats: of each layer, or empty if none has batch normalization
    """
    return [
        batch_norm.fold(layer, stats, xp=xp)
        if isinstance(layer, NormalizedLayer) and stats is not None
        else Layer(layer.weight, layer.bias)
        for layer, stats in zip(
            layers, running_stats or [None] * len(layers), strict=True
        )
    ]


def inference_layers(state: State, *, xp: Namespace) -> list[Layer]:
    """Return a state's plain layers for inference, averaged if it has an `ema`."""
    return fold_batch_norm(state.ema or state.layers, state.running_stats, xp=xp)
