"""The floor: an epoch's matrix products and nothing else, in NumPy.

Forward, weight gradient, and input gradient of every layer but the first, whose input
gradient nobody uses; on arrays made before, with results written into others made
before. No images are gathered, nothing is added, no activation is computed.

A fused kernel may go under it where the products are narrow: BLAS is poor at ten
columns.
"""

import time
from itertools import pairwise

import numpy as np
from threadpoolctl import threadpool_limits

from nnx.data.dataset import Array
from nnx.maths.blocks import blocks
from nnx_benchmarks.workloads import Workload


class Products:
    """The products of a workload's steps."""

    def __init__(self, workload: Workload) -> None:
        rng = np.random.default_rng(0)

        def drawn(*shape: int) -> Array:
            return rng.normal(size=shape).astype(np.float32)

        self.size = workload.batch_size
        self.outputs = [drawn(self.size, width) for width in workload.sizes]
        self.results = [np.empty_like(output) for output in self.outputs]
        self.weights = [drawn(*shape) for shape in pairwise(workload.sizes)]
        self.gradients = [np.empty_like(weight) for weight in self.weights]

    def seconds(self, images: int, threads: int) -> float:
        """Return how long an epoch's products take with so many BLAS threads."""
        with threadpool_limits(threads, user_api="blas"):
            began = time.perf_counter()
            for rows in blocks(images, self.size):
                self._step(rows.stop - rows.start)
            return time.perf_counter() - began

    def _step(self, batch: int) -> None:
        outputs = [output[:batch] for output in self.outputs]
        results = [result[:batch] for result in self.results]
        for i, weight in enumerate(self.weights):
            np.matmul(outputs[i], weight, out=results[i + 1])
        for i in reversed(range(len(self.weights))):
            np.matmul(outputs[i].T, outputs[i + 1], out=self.gradients[i])
            if i > 0:
                np.matmul(outputs[i + 1], self.weights[i].T, out=results[i])
