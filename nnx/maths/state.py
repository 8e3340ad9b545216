"""The state of training: the parameters, and all that a step passes to the next."""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from nnx.maths.arrays import Array, map_arrays
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.losses import LOSSES
from nnx.maths.ops import Ops
from nnx.maths.optimizers import OPTIMIZERS


class Layer(NamedTuple):
    """Parameters of a dense layer, or their gradients.

    weight: (in_features, out_features)
    bias: (out_features,)
    """

    weight: Array
    bias: Array


class NormalizedLayer(NamedTuple):
    """Parameters of a layer with batch normalization, or their gradients.

    weight: (in_features, out_features)
    bias, gamma: (out_features,); the paper calls the bias beta
    """

    weight: Array
    bias: Array
    gamma: Array


Layers: TypeAlias = Sequence[Layer]
Parameters: TypeAlias = Sequence[Layer | NormalizedLayer]


class RunningStats(NamedTuple):
    """Each unit's running mean and variance; both (out_features,)."""

    mean: Array
    variance: Array


class Images(NamedTuple):
    """A set of labeled images, or other samples, on the device.

    pixels: (n, in_features), uint8 or floating
    labels: (n,), int64 in [0, classes); for losses other than cross-entropy (n,
        outputs), in the parameters' dtype
    weights: (n,), each sample's weight in the loss, in the parameters' dtype; None: 1
    first: if pixels hold only a window of consecutive images, the number of the first
        one; steps may then ask for images of the window only. None: pixels hold all
    """

    pixels: Array
    labels: Array
    weights: Array | None = None
    first: int | None = None


class State(NamedTuple):
    """Everything that a step changes.

    step: the number of steps taken so far
    loss_sum: (), the sum of the losses of the epoch's images so far
    score_sum: how many of those images were right, (), an integer; for a regression,
        the sum of squared errors, (outputs,)
    optimizer_state: the optimizer's arrays, each in the form of the layers
    running_stats: of each layer; None for a layer without batch normalization
    ema: the exponential moving average of the layers, or empty
    """

    step: int
    layers: Parameters
    loss_sum: Array
    score_sum: Array
    optimizer_state: tuple[Parameters, ...] = ()
    running_stats: tuple[RunningStats | None, ...] = ()
    ema: Parameters | tuple[()] = ()


def initial_state(layers: Layers, hyper: Hyperparameters, ops: Ops) -> State:
    """Return the state at the start of a run; layers: on the device."""
    xp, hidden = ops.xp, len(layers) - 1 if hyper.batch_norm else 0
    parameters: list[Layer | NormalizedLayer] = [
        NormalizedLayer(*layer, xp.ones_like(layer.bias)) if i < hidden else layer
        for i, layer in enumerate(layers)
    ]
    stats = [
        RunningStats(xp.zeros_like(layer.bias), xp.ones_like(layer.bias))
        if i < hidden
        else None
        for i, layer in enumerate(layers)
    ]
    return State(
        0,
        parameters,
        *no_sums(layers, hyper, ops),
        optimizer_state=tuple(
            map_arrays(xp.zeros_like, parameters)
            for _ in range(OPTIMIZERS[hyper.optimizer].arrays)
        ),
        running_stats=tuple(stats),
        ema=parameters if hyper.ema_decay > 0.0 else (),
    )


def no_sums(
    layers: Parameters, hyper: Hyperparameters, ops: Ops
) -> tuple[Array, Array]:
    """Return loss_sum and score_sum at the start of an epoch: zeros."""
    like, xp = layers[0].bias, ops.xp
    if LOSSES[hyper.loss].counts:
        score_sum = xp.zeros((), dtype=xp.int64, device=like.device)
    else:
        outputs = layers[-1].bias.shape
        score_sum = xp.zeros(outputs, dtype=like.dtype, device=like.device)
    return xp.zeros((), dtype=like.dtype, device=like.device), score_sum
