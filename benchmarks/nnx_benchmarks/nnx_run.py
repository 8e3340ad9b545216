"""The backends of nnx, each by its own `run_steps`."""

import numpy as np

from nnx.backend import Backend
from nnx.data.dataset import Array
from nnx.maths.arrays import map_arrays
from nnx.maths.blocks import block_count
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.state import Images, Layers, initial_state
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
        self.images = Images(*map(backend.from_numpy, (problem.pixels, problem.labels)))
        self.hyper = Hyperparameters(
            activations=(workload.activation,) * hidden + ("identity",),
            pixel_scale=1 / 255,
            batch_size=workload.batch_size,
        )

    def load(self, layers: Layers) -> None:
        """Take a copy of these weights."""
        copies = map_arrays(np.copy, list(layers))
        self.trained = map_arrays(self.backend.from_numpy, copies)

    def epoch(self, order: Array, learning_rate: float) -> float:
        """Train on these images; return their mean loss."""
        backend, n = self.backend, len(order)
        count = block_count(n, self.hyper.batch_size)
        hyper = self.hyper._replace(learning_rate=learning_rate)
        with backend.scope():
            state = initial_state(self.trained, hyper, backend.ops)
            order = backend.from_numpy(order)
            state = backend.run_steps(state, self.images, order, count, hyper)
            self.trained = list(state.layers)
            loss = float(backend.to_numpy(state.loss_sum))
            backend.synchronize()
        return loss / n

    def layers(self) -> Layers:
        """Return the weights as they are now."""
        layers: Layers = map_arrays(self.backend.to_numpy, self.trained)
        return layers
