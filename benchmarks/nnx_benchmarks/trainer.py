"""The interface of implementations, by which all are trained and queried alike."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from nnx.data.dataset import Array
from nnx.maths.state import Layers
from nnx_benchmarks.workloads import Problem


class Trainer(Protocol):
    """A network with its training images, in memory of its library's choice."""

    def load(self, layers: Layers) -> None:
        """Restart training from a copy of these weights, NumPy arrays."""

    def epoch(self, order: Array, learning_rate: float) -> float:
        """Train on these images, batch by batch, and wait until it is done.

        order: (m,), int64 in [0, n), of the same length since `load`; the last batch
            may be short
        returns: the mean over the images of their loss in nats, each before the step
            with its batch
        """

    def layers(self) -> Layers:
        """Return NumPy layers for inference, with batch normalization folded in."""


class Implementation(NamedTuple):
    """A way of training, by name.

    dtypes: those it can train in; speed is measured only in float32
    plain: whether it trains only with plain SGD
    card: whether it computes on an NVIDIA card
    bfloat16: whether it rounds the factors of float32 products to bfloat16
    """

    name: str
    prepare: Callable[[Problem], Trainer]
    dtypes: tuple[str, ...] = ("float32",)
    plain: bool = False
    card: bool = False
    bfloat16: bool = False
