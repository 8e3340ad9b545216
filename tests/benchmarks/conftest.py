"""A small workload with a small data set that can be learned."""

import numpy as np
import pytest

from nnx import find
from nnx.data.dataset import Dataset, Frame, Split
from nnx_benchmarks import data, nnx_run
from nnx_benchmarks.trainer import Implementation
from nnx_benchmarks.workloads import Problem, Workload


@pytest.fixture
def images() -> Dataset:
    """330 images in MNIST's shapes, of ten kinds: the last batch is short."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 200, (10, 784))

    def split(n: int) -> Split:
        labels = rng.integers(0, 10, n)
        noise = rng.integers(0, 56, (n, 784))
        return Split((kinds[labels] + noise).astype(np.uint8), labels)

    classes = tuple("0123456789")
    return Dataset("kinds", split(330), split(50), classes, Frame(28, 28, 255, 20))


@pytest.fixture
def workload() -> Workload:
    return Workload((784, 16, 11, 10), "tanh", 32, 0.02)


@pytest.fixture
def problem(workload: Workload, images: Dataset) -> Problem:
    return data.problem(workload, images.train)


@pytest.fixture
def numpy() -> Implementation:
    return nnx_run.implementation(find("numpy"))
