"""Avoiding kinks, where rounding or a small step changes a result abruptly.

A kink is a hidden unit near 0, where relu bends; a tie of the two largest logits; a
label's logit near 0; or a residual at which the Huber loss becomes linear. Results are
not compared near kinks.
"""

import numpy as np

from nnx.maths import losses, network, steps
from nnx.maths.activations import ACTIVATIONS
from nnx.maths.arrays import Array
from nnx.maths.blocks import block, block_count
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.network import Cache, Forward
from nnx.maths.schedules import at_steps
from nnx.maths.state import Images, Layer, NormalizedLayer, State
from nnx.verify.compare import PLAIN

# Relative to a layer's largest unit; float32's rounding reaches a tenth of this.
CLEARANCE = 1e-5
# How often images at kinks are replaced in a batch.
ATTEMPTS = 30


def is_smooth(
    state: State,
    images: Images,
    index: Array,
    hyper: Hyperparameters,
    clearance: float = CLEARANCE,
) -> Array:
    """Return which images of a batch have no kink nearby, (batch,) bool.

    state: float64, on the host
    index: (batch,), the batch's images
    clearance: least distance from a kink, relative to the layer's largest unit
    """
    seen = forward_batch(state, images, index, hyper)
    smooth = np.ones(len(index), bool)
    for layer, cache in zip(state.layers[:-1], seen.caches[:-1], strict=True):
        z = _before_activation(layer, cache)
        smooth &= np.min(np.abs(z), axis=1) > clearance * np.max(np.abs(z))
    apart = _from_turning(seen.logits, images.labels[index], hyper)
    return smooth & (apart > clearance * np.max(np.abs(seen.logits)))


def _from_turning(logits: Array, targets: Array, hyper: Hyperparameters) -> Array:
    """Return the distance of each image's logits from a kink of loss or score, (n,).

    logits: (n, outputs)
    """
    if losses.LOSSES[hyper.loss].of_classes:
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
    """Return the forward pass of a step's batch, by the plain maths."""
    x, _ = steps.inputs(state, images, index, hyper, PLAIN)
    masks = steps.dropout_masks(state, x, 0, hyper, PLAIN)
    return network.forward(
        state.layers, x, hyper.activations, PLAIN, state.running_stats, masks
    )


def is_bent(activation: str, outputs: Array) -> Array:
    """Return for each pair of outputs whether any unit crosses its kink, (n,) bool.

    activation: of the layer
    outputs: (n, 2, batch, out_features)
    """
    if not ACTIVATIONS[activation].bends:
        return np.zeros(len(outputs), bool)
    above, below = outputs[:, 0] > 0, outputs[:, 1] > 0
    return np.asarray((above != below).any(axis=(1, 2)))


def _before_activation(layer: Layer | NormalizedLayer, cache: Cache) -> Array:
    """Return the inputs of a layer's activation, (batch, out_features)."""
    if isinstance(layer, NormalizedLayer) and cache.normalized is not None:
        return layer.gamma * cache.normalized.values + layer.bias
    return cache.x @ layer.weight + layer.bias


def steps_without_kinks(
    state: State, images: Images, order: Array, count: int, hyper: Hyperparameters
) -> tuple[Array, State]:
    """Return an order whose batches are without kinks, and the state after the steps.

    Each image at a kink is replaced by another image of the batch. The new batch is
    checked again: dropout leaves out other units at another place, and normalization
    depends on all images of the batch.

    state: float64, on the host
    order, count: as for `steps.run_steps`

    Raises:
        ValueError: a batch's images at kinks cannot all be replaced
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
