"""MNIST if it is on this machine, and random bytes of the same shape if not."""

import os

import numpy as np

import nnx
from nnx.data.dataset import Array, Dataset, Frame, Split
from nnx.data.download import is_cached
from nnx.data.load import in_variable
from nnx.maths.state import Layers
from nnx_benchmarks.workloads import Problem, Workload

IMAGES, FEATURES, CLASSES = 60_000, 784, 10
RANDOM = "random bytes"


def images(data_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """Return MNIST from data_dir, NNX_DATA_DIR or the cache, or else random bytes.

    Nothing is downloaded.

    Raises:
        InputError: the given data_dir does not hold MNIST
    """
    if data_dir is not None or in_variable("mnist") or is_cached("mnist"):
        return nnx.load("mnist", data_dir)
    return random_bytes(IMAGES)


def random_bytes(n: int) -> Dataset:
    """Return as many random images, in MNIST's shapes."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (n, FEATURES), np.uint8)
    split = Split(pixels, rng.integers(0, CLASSES, n))
    classes = tuple(map(str, range(CLASSES)))
    return Dataset(RANDOM, split, split, classes, Frame(28, 28, 255, 20))


def problem(workload: Workload, split: Split, dtype: str = "float32") -> Problem:
    """Return a workload on these images."""
    floats = split.images.astype(dtype) / np.dtype(dtype).type(255)
    return Problem(workload, split.images, floats, split.labels)


def accuracy(layers: Layers, workload: Workload, data: Dataset) -> float | None:
    """Return the share of test images classified correctly; None for random bytes."""
    if data.name == RANDOM:
        return None
    network = nnx.Network(workload.sizes, workload.activation).replace(layers=layers)
    right: Array = network.predict(data.test.images) == data.test.labels
    return float(right.mean())
