"""The backends of nnx, each by its own `run_steps`."""

import numpy as np

from nnx.backend import Backend
from nnx.data.dataset import Array
from nnx.maths.arrays import map_arrays
from nnx.maths.blocks import block_count
from nnx.maths.network import inference_layers
from nnx.maths.state import Images, Layers, initial_state, no_sums
from nnx_benchmarks.trainer import Implementation
from nnx_benchmarks.workloads import Problem


def implementation(backend: Backend) -> Implementation:
    """Return a backend of nnx as an implementation."""
    return Implementation(
        f"nnx {backend.name}",
        lambda problem: NnxTrainer(problem, backend),
        ("float32", "float64"),
        card=backend.device.startswith(("cuda", "gpu")),
    )


def rounded(backend: Backend) -> Implementation:
    """Return the same for one that rounds the factors of its products to bfloat16."""
    own = implementation(backend)
    return own._replace(name=f"{own.name} bf16", dtypes=("float32",), bfloat16=True)


class NnxTrainer:
    """A backend; images stay bytes on its device until a batch is gathered."""

    def __init__(self, problem: Problem, backend: Backend) -> None:
        self.backend, self.hyper = backend, problem.workload.hyper
        self.images = Images(*map(backend.from_numpy, (problem.pixels, problem.labels)))

    def load(self, layers: Layers) -> None:
        """Restart training from a copy of these weights."""
        copies, backend = map_arrays(np.copy, list(layers)), self.backend
        with backend.scope():
            own = map_arrays(backend.from_numpy, copies)
            self.state = initial_state(own, self.hyper, backend.ops)

    def epoch(self, order: Array, learning_rate: float) -> float:
        """Train on these images; return their mean loss."""
        backend, n = self.backend, len(order)
        count = block_count(n, self.hyper.batch_size)
        hyper = self.hyper._replace(learning_rate=learning_rate)
        with backend.scope():
            sums = no_sums(self.state.layers, self.hyper, backend.ops)
            state = self.state._replace(loss_sum=sums[0], score_sum=sums[1])
            order = backend.from_numpy(order)
            self.state = backend.run_steps(state, self.images, order, count, hyper)
            loss = float(backend.to_numpy(self.state.loss_sum))
            backend.synchronize()
        return loss / n

    def layers(self) -> Layers:
        """Return the layers for inference."""
        with self.backend.scope():
            own = inference_layers(self.state, xp=self.backend.xp)
            layers: Layers = map_arrays(self.backend.to_numpy, own)
        return layers
