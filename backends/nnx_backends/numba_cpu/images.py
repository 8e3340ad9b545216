"""The images of one call's steps, and the losses and scores that the steps compute."""

from typing import Any, NamedTuple

import numpy as np

from nnx.maths.arrays import Array
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.losses import LOSSES
from nnx.maths.state import Images, Parameters, State


class ImageMemory(NamedTuple):
    """Arrays named as in `records.run_dtype`; all but the pixels are in step order."""

    pixels: Array
    labels: Array
    weights: Array
    order: Array
    losses: Array
    scores: Array
    logits: Array


def image_memory(
    images: Images, order: Array, layers: Parameters, hyper: Hyperparameters
) -> ImageMemory:
    """Return the arrays for steps of a network's layers with images in an order."""
    real: Any = layers[0].weight.dtype.type
    outputs = len(layers[-1].bias)
    return ImageMemory(
        pixels=np.ascontiguousarray(images.pixels, pixel_dtype(images, real)),
        labels=_labels(images, order, hyper, real),
        weights=_weights(images, order, real),
        order=order,
        losses=np.zeros(len(order), real),
        scores=_scores(len(order), outputs, hyper, real),
        logits=np.empty((len(order), outputs), real),
    )


def sums_after(
    state: State, images: ImageMemory, batch_size: int
) -> tuple[Array, Array]:
    """Return the epoch's sums of losses and of scores after steps with these images."""
    return (
        _added(state.loss_sum, images.losses, batch_size),
        _added(state.score_sum, images.scores, batch_size),
    )


def _added(total: Array, of_images: Array, batch_size: int) -> Array:
    """Return a total plus the numbers of the images of further steps, (images, …)."""
    if of_images.dtype == np.uint8:
        return total + of_images.sum(dtype=np.int64)
    starts = np.arange(0, len(of_images), batch_size)
    sums = np.add.reduceat(of_images, starts) if len(starts) else of_images
    # Step by step, so that the sum does not depend on where a run was interrupted.
    return np.cumsum(np.concatenate([total[None], sums]), axis=0)[-1]


def _labels(images: Images, order: Array, hyper: Hyperparameters, real: Any) -> Array:
    """Return the labels of images, or their targets, (images, outputs)."""
    kind = np.int64 if LOSSES[hyper.loss].of_classes else real
    taken = np.take(images.labels, order, axis=0)
    return np.ascontiguousarray(taken, kind)


def _weights(images: Images, order: Array, real: Any) -> Array:
    if images.weights is None:
        return np.ones(len(order), real)
    return np.take(images.weights, order).astype(real, copy=False)


def _scores(images: int, outputs: int, hyper: Hyperparameters, real: Any) -> Array:
    """Return an array for whether each image is right, or for its squared errors."""
    if LOSSES[hyper.loss].counts:
        return np.zeros(images, np.uint8)
    return np.zeros((images, outputs), real)


def pixel_dtype(images: Images, real: Any) -> np.dtype[Any]:
    """Return the type that kernels read pixels in; other types are converted first."""
    kind: np.dtype[Any] = images.pixels.dtype
    return kind if kind in (np.uint8, np.float32, np.float64) else np.dtype(real)
