"""Small data sets of noise, and networks that fit them."""

from collections.abc import Sequence

import numpy as np

from nnx import Network
from nnx.data.dataset import Dataset, Split, frame_of


def made(features: int = 16, n: int = 40, classes: int = 3) -> Dataset:
    rng = np.random.default_rng(0)

    def split(count: int) -> Split:
        pixels = rng.integers(0, 256, (count, features), np.uint8)
        return Split(pixels, rng.integers(0, classes, count))

    names = tuple("abcdefghij"[:classes])
    return Dataset("d", split(n), split(n), names, frame_of(features, None, 255))


def fitting(data: Dataset, sizes: Sequence[int]) -> Network:
    """Return a network that fits the data."""
    network = Network(sizes, seed=0, dtype="float32")
    return network.replace(frame=data.frame, classes=data.classes)
