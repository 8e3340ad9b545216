"""Central differences of a network's loss along sampled entries of its parameters.

A step along one entry of a layer's weight or bias changes the output of one unit, and
the layers above. Only these are recomputed, for many steps at once.
"""

from typing import NamedTuple

import numpy as np

from nnx.maths import losses, network
from nnx.maths.arrays import Array
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.regularization import penalty
from nnx.maths.state import Images, Layer, State
from nnx.verify.compare import PLAIN
from nnx.verify.kinks import is_bent

Place = tuple[int, ...]
# Number of entries processed at once.
TOGETHER = 32


class Problem(NamedTuple):
    """A network in float64, its batch and its hyperparameters, all on the host.

    inputs: of each layer, (batch, in_features)
    """

    state: State
    images: Images
    hyper: Hyperparameters
    inputs: list[Array]


def slopes(
    posed: Problem, i: int, name: str, places: list[Place], step: float
) -> Array:
    """Return the central difference along each of these entries, (places,).

    It is NaN if there is a kink between the two losses: a unit has different signs for
    an image, or a weight does under L1.

    i: the number of the layer
    name: "weight" or "bias"
    step: in either direction; relative for entries larger than 1
    """
    parts = [
        _together(posed, i, name, places[first : first + TOGETHER], step)
        for first in range(0, len(places), TOGETHER)
    ]
    return np.concatenate(parts)


def _together(
    posed: Problem, i: int, name: str, places: list[Place], step: float
) -> Array:
    array = getattr(posed.state.layers[i], name)
    before = np.array([array[place] for place in places])
    steps = step * np.maximum(1.0, np.abs(before))
    values = np.stack([before + steps, before - steps], axis=1)
    outputs = _outputs(posed, i, name, places, values)
    activations = posed.hyper.activations[i + 1 :]
    seen = network.forward(
        posed.state.layers[i + 1 :], outputs.reshape(-1, outputs.shape[-1]),
        activations, PLAIN,
    )  # fmt: skip
    apart = (*values.shape, len(posed.images.labels), -1)
    loss = _losses(posed, seen.logits.reshape(apart))
    bent = is_bent(posed.hyper.activations[i], outputs)
    for activation, cache in zip(activations, seen.caches, strict=True):
        bent |= is_bent(activation, cache.output.reshape(apart))
    if name == "weight":
        l1, l2 = posed.hyper.l1, posed.hyper.l2
        loss += [[penalty(v, l1, l2, xp=np) for v in pair] for pair in values]
        bent |= (l1 > 0.0) & (np.abs(before) <= steps)
    above, below = loss.T
    return np.where(bent, np.nan, (above - below) / (values[:, 0] - values[:, 1]))


def _outputs(
    posed: Problem, i: int, name: str, places: list[Place], values: Array
) -> Array:
    """Return a layer's outputs with one entry set to each value.

    values: (places, 2)
    returns: (places, 2, batch, out_features)
    """
    x, layer = posed.inputs[i], posed.state.layers[i]
    activation = posed.hyper.activations[i : i + 1]
    usual = network.forward([layer], x, activation, PLAIN).logits
    outputs = np.empty((*values.shape, *usual.shape))
    outputs[:] = usual
    for p, v in np.ndindex(values.shape):
        *row, unit = places[p]
        changed = Layer(layer.weight[:, [unit]], layer.bias[[unit]])
        getattr(changed, name)[(*row, 0)] = values[p, v]
        alone = network.forward([changed], x, activation, PLAIN).logits
        outputs[p, v, :, unit] = alone[:, 0]
    return outputs


def _losses(posed: Problem, logits: Array) -> Array:
    """Return the batch's mean loss for each step.

    logits: (places, 2, batch, outputs)
    returns: (places, 2)
    """
    hyper, loss = posed.hyper, np.empty(logits.shape[:2])
    for place in np.ndindex(loss.shape):
        labels = posed.images.labels
        loss[place] = losses.mean_loss(logits[place], labels, hyper, xp=np)
    return loss
