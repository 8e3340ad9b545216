"""A network with weights of 8 bits, and its outputs computed with integer sums."""

from typing import NamedTuple

import numpy as np

from nnx.data.dataset import Array, Dataset
from nnx.export.interface import input_spec
from nnx.maths.activations import ACTIVATIONS
from nnx.maths.blocks import blocks
from nnx.maths.losses import LOSSES
from nnx.network import Network
from nnx.training import scores

WEIGHT_LEVELS, PIXEL_LEVELS, LEVELS, LARGEST = 127, 255, 2**15 - 1, 2**31 - 1
# Rows of smaller numbers are scaled by this, also in C: their own scale would overflow.
SMALLEST = np.float32(1e-30)


class Quantized(NamedTuple):
    """A layer whose exact weight is approximately weight · step.

    weight: (in, out), int8 from -127 to 127
    step: (out,), float32
    bias: (out,), float32
    """

    weight: Array
    step: Array
    bias: Array


def quantized(network: Network) -> list[Quantized]:
    """Return the layers with weights in steps of each unit's largest weight / 127."""
    layers = []
    for weight, bias in network.layers:
        step = (np.abs(weight).max(axis=0) / WEIGHT_LEVELS).astype(np.float32)
        over = np.where(step > 0, step, 1)
        whole = np.clip(np.rint(weight / over), -WEIGHT_LEVELS, WEIGHT_LEVELS)
        layers.append(Quantized(whole.astype(np.int8), step, bias.astype(np.float32)))
    return layers


def levels(network: Network, layer: int) -> int:
    """Return the largest magnitude of the integers in a layer's input.

    Pixels that are bytes stay as they are. Other inputs get 16 bits, because one may be
    far larger than the rest, or fewer if the layer's sums would not fit in 32 bits.
    """
    if layer == 0 and input_spec(network).dtype == "uint8":
        return PIXEL_LEVELS
    room = LARGEST // (WEIGHT_LEVELS * len(network.layers[layer].weight))
    return max(PIXEL_LEVELS, min(LEVELS, room))


def sums_fit(network: Network) -> bool:
    """Return whether the sums of every layer fit in 32 bits."""
    return all(
        len(layer.weight) * WEIGHT_LEVELS * levels(network, i) <= LARGEST
        for i, layer in enumerate(network.layers)
    )


def score(network: Network, data: Dataset) -> float:
    """Return the accuracy, or R², of the network in 8 bits on the test images.

    The sums are the same as in the C header; tests compare the two.
    """
    layers, total = quantized(network), np.float64(0)
    images, labels = data.test
    for rows in blocks(len(images)):
        out = logits(network, layers, images[rows])
        total = total + LOSSES[network.loss].score(out, labels[rows], xp=np)
    whole, n = scores.variation(data.test, data.task), len(images)
    return scores.score(total, n, whole, n)


def logits(network: Network, layers: list[Quantized], images: Array) -> Array:
    """Return the logits of a data set's images, (n, outputs) float32."""
    x = np.asarray(images)
    for i, (layer, activation) in enumerate(
        zip(layers, network.activation, strict=True)
    ):
        if i == 0:
            whole, step = _first(network, x)
        else:
            whole, step = _whole(x, levels(network, i))
        # float64 represents these integer sums exactly, and BLAS computes them.
        sums = whole.astype(np.float64) @ layer.weight.astype(np.float64)
        z = sums.astype(np.float32) * (layer.step * step) + layer.bias
        x = ACTIVATIONS[activation].forward(z, xp=np)
    return x


def _first(network: Network, images: Array) -> tuple[Array, Array]:
    spec = input_spec(network)
    if spec.dtype != "uint8":
        x = images.astype(np.float32)
        if spec.name == "pixels":
            x = x * np.float32(network.pixel_scale(images.dtype))
        return _whole(x, levels(network, 0))
    if images.dtype.kind == "f":
        images = np.rint(images * network.frame.maximum)
    return images, np.float32(spec.factor)


def _whole(x: Array, most: int) -> tuple[Array, Array]:
    """Return each row as integers, scaled by its largest number, and their unit.

    returns: (n, features), from -most to most; (n, 1) float32
    """
    largest = np.maximum(np.abs(x).max(axis=1, keepdims=True), SMALLEST)
    times = np.float32(most) / largest
    return np.floor(x * times + np.float32(0.5)), largest / np.float32(most)
