"""The networks that speed is measured on; an epoch is 60,000 MNIST images."""

from typing import NamedTuple

LEARNING_RATE = 0.1


class Workload(NamedTuple):
    """One epoch of plain SGD, float32, shuffled, learning rate 0.1."""

    sizes: tuple[int, ...]
    activation: str
    batch_size: int


WORKLOADS = {
    "tiny": Workload((784, 10, 10), "relu", 64),
    "narrow": Workload((784, 25, 25, 10), "relu", 64),
    "classic": Workload((784, 128, 10), "tanh", 64),
    "wide": Workload((784, 1000, 10), "tanh", 128),
    "deep": Workload((784, 800, 800, 10), "relu", 128),
}
