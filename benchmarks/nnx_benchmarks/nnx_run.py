"""The backends of nnx, each by its own `run_steps`."""

import numpy as np

from nnx.backend import Backend
from nnx.data.dataset import Array
from nnx.maths.network import Layers
from nnx.maths.optimizers import Rates
from nnx.maths.steps import Epoch, Images, Recipe, State
from nnx.network import to_device, to_host
from nnx_benchmarks.trainer import Implementation
from nnx_benchmarks.workloads import Problem


def implementation(backend: Backend) -> Implementation:
    """Return how a backend of nnx trains."""
    return Implementation(
        f"nnx {backend.name}",
        lambda problem: NnxTrainer(problem, backend),
        ("float32", "float64"),
    )


class NnxTrainer:
    """A backend; images stay bytes on its device until a batch is gathered."""

    def __init__(self, problem: Problem, backend: Backend) -> None:
        workload, hidden = problem.workload, len(problem.workload.sizes) - 2
        self.backend = backend
        self.dtype = problem.floats.dtype
        self.images = Images(*map(backend.from_numpy, (problem.pixels, problem.labels)))
        self.recipe = Recipe(
            activations=(workload.activation,) * hidden + ("identity",),
            scale=1 / 255,
            batch_size=workload.batch_size,
        )

    def load(self, layers: Layers) -> None:
        """Take a copy of these weights."""
        copies = [type(layer)(*(a.copy() for a in layer)) for layer in layers]
        self.trained = to_device(copies, self.backend)

    def epoch(self, order: Array, learning_rate: float) -> float:
        """Train on these images; return their mean loss."""
        with self.backend.scope():
            return self._epoch(order, learning_rate)

    def _epoch(self, order: Array, learning_rate: float) -> float:
        backend, n = self.backend, len(order)
        count = -(-n // self.recipe.batch_size)
        rates = [Rates(learning_rate)] * count
        zeros = np.zeros((), self.dtype), np.zeros((), np.int64)
        state = backend.run_steps(
            State(self.trained, *map(backend.from_numpy, zeros)),
            self.images,
            Epoch(backend.from_numpy(order), rates),
            0,
            count,
            self.recipe,
            backend,
        )
        self.trained = list(state.layers)
        loss = float(backend.to_numpy(state.loss_sum)) / n
        backend.synchronize()
        return loss

    def layers(self) -> Layers:
        """Return the weights as they are now."""
        return to_host(self.trained, self.backend)
