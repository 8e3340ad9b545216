"""Staying clear of kinks, where rounding or a small step changes a result at once.

A kink is a hidden unit near 0, where relu bends, a tie of the two largest logits, a
label's logit near 0, or a residual where the Huber loss turns straight. Nothing is
compared there.
"""

import numpy as np

from nnx.maths import network, steps
from nnx.maths.arrays import Array
from nnx.maths.blocks import block, block_count
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.network import Cache, Forward
from nnx.maths.schedules import at_steps
from nnx.maths.state import Images, Layer, NormalizedLayer, State
from nnx.verify.compare import PLAIN

# Relative to a layer's largest unit; rounding in float32 reaches a tenth of it.
CLEARANCE = 1e-5
# Activations whose slope, or the slope of that, jumps at 0.
KINKED = "relu", "leaky_relu", "elu"
# How often a batch is looked at, images at a kink replaced each time.
ATTEMPTS = 30


def is_smooth(
    state: State,
    images: Images,
    index: Array,
    hyper: Hyperparameters,
    clearance: float = CLEARANCE,
) -> Array:
    """Return for which images of a batch there is no kink nearby, (batch,) bool.

    state: float64, on the host
    index: (batch,), the batch's images
    clearance: how near is near, over the largest of the layer's units
    """
    seen = forward_batch(state, images, index, hyper)
    smooth = np.ones(len(index), bool)
    for layer, cache in zip(state.layers[:-1], seen.caches[:-1], strict=True):
        z = _before_activation(layer, cache)
        smooth &= np.min(np.abs(z), axis=1) > clearance * np.max(np.abs(z))
    apart = _from_turning(seen.logits, images.labels[index], hyper)
    return smooth & (apart > clearance * np.max(np.abs(seen.logits)))


def _from_turning(logits: Array, targets: Array, hyper: Hyperparameters) -> Array:
    """Return how far each image's logits are from where its loss or score turns, (n,).

    logits: (n, outputs)
    """
    if hyper.loss == "cross_entropy":
        top = np.partition(logits, -2, axis=1)
        return np.asarray(top[:, -1] - top[:, -2])
    if hyper.loss == "binary_cross_entropy":
        return np.min(np.abs(logits), axis=1)
    if hyper.loss == "huber":
        size = np.abs(logits - targets)
        return np.min(np.abs(size - hyper.huber_delta), axis=1)
    return np.full(len(logits), np.inf)


def forward_batch(
    state: State, images: Images, index: Array, hyper: Hyperparameters
) -> Forward:
    """Return what a step's network makes of its batch, by the plain maths."""
    x, _ = steps.inputs(state, images, index, hyper, PLAIN)
    masks = steps.dropout_masks(state, x, 0, hyper, PLAIN)
    return network.forward(
        state.layers, x, hyper.activations, PLAIN, state.running_stats, masks
    )


def is_bent(activation: str, outputs: Array) -> Array:
    """Return whether a unit is on other sides of its kink in two outputs, (n,) bool.

    activation: of the layer
    outputs: (n, 2, batch, out_features)
    """
    if activation not in KINKED:
        return np.zeros(len(outputs), bool)
    above, below = outputs[:, 0] > 0, outputs[:, 1] > 0
    return np.asarray((above != below).any(axis=(1, 2)))


def _before_activation(layer: Layer | NormalizedLayer, cache: Cache) -> Array:
    """Return what a layer's activation was given, (batch, out_features)."""
    if isinstance(layer, NormalizedLayer) and cache.normalized is not None:
        return layer.gamma * cache.normalized.values + layer.bias
    return cache.x @ layer.weight + layer.bias


def steps_without_kinks(
    state: State, images: Images, order: Array, count: int, hyper: Hyperparameters
) -> tuple[Array, State]:
    """Return an order whose batches are without kinks, and the state after the steps.

    Another image of the batch takes the place of each that is at a kink. Dropout leaves
    out other units of an image in another place, and a normalized batch changes with
    each of its images: so what is put in place is looked at again.

    state: float64, on the host; order and count: as for `steps.run_steps`

    Raises:
        ValueError: a batch in which no image is clear of kinks
    """
    order, n, size = order.copy(), len(order), hyper.batch_size
    per_epoch = block_count(n, size)
    for now in at_steps(hyper, state.step, count, per_epoch):
        rows = block(state.step % per_epoch, n, size)
        for attempt in range(ATTEMPTS):
            index = order[rows]
            smooth = is_smooth(state, images, index, now)
            if smooth.all():
                break
            if attempt == ATTEMPTS - 1 or not smooth.any():
                raise ValueError(f"no image of step {state.step} is clear of kinks")
            others = index[smooth]
            order[rows] = np.where(smooth, index, others[attempt % len(others)])
        state = steps.step(state, images, order[rows], now, PLAIN)
    return order, state
