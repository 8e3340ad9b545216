"""JAX: `jit` of one step, called batch by batch, and `lax.scan` over an epoch's steps.

Images are on the device as bytes, where that was no slower than floats and for `scan`
a little faster; weights are donated, so that steps write into their memory; nothing
else is counted.
"""

from functools import partial
from typing import Any

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from nnx.data.dataset import Array
from nnx.maths.state import Layer, Layers
from nnx_benchmarks.trainer import Implementation
from nnx_benchmarks.workloads import Problem

ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh}


class JaxTrainer:
    """Plain functions of weights, differentiated and compiled by JAX."""

    def __init__(self, problem: Problem, scan: bool) -> None:
        self.activation = ACTIVATIONS[problem.workload.activation]
        self.batch_size = problem.workload.batch_size
        self.data = jnp.asarray(problem.pixels), jnp.asarray(problem.labels, jnp.int32)
        self.step = jax.jit(self._step, donate_argnums=0)
        self.steps = jax.jit(self._steps, donate_argnums=0) if scan else self._loop

    def _loss(self, layers: Any, x: Any, labels: Any) -> Any:
        *hidden, (weight, bias) = layers
        x = x.astype(weight.dtype) * np.float32(1 / 255)
        for w, b in hidden:
            x = self.activation(x @ w + b)
        logits = x @ weight + bias
        right = jnp.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
        return jnp.mean(jax.nn.logsumexp(logits, axis=1) - right)

    def _step(self, state: Any, index: Any, data: Any, learning_rate: Any) -> Any:
        layers, total = state
        images, labels = data
        loss, gradients = jax.value_and_grad(self._loss)(
            layers, images[index], labels[index]
        )
        layers = jax.tree.map(lambda p, g: p - learning_rate * g, layers, gradients)
        return layers, total + loss * index.shape[0]

    def _steps(self, state: Any, indices: Any, data: Any, learning_rate: Any) -> Any:
        def body(state: Any, index: Any) -> Any:
            return self._step(state, index, data, learning_rate), None

        return lax.scan(body, state, indices)[0]

    def _loop(self, state: Any, indices: Any, data: Any, learning_rate: Any) -> Any:
        for index in indices:
            state = self.step(state, index, data, learning_rate)
        return state

    def load(self, layers: Layers) -> None:
        """Take a copy of these weights."""
        self.trained = [(jnp.array(weight), jnp.array(bias)) for weight, bias in layers]

    def epoch(self, order: Array, learning_rate: float) -> float:
        """Train on these images; return their mean loss."""
        rate = np.float32(learning_rate)
        order = order.astype(np.int32)
        whole = len(order) - len(order) % self.batch_size
        state: Any = self.trained, jnp.zeros(())
        if whole:
            indices = order[:whole].reshape(-1, self.batch_size)
            state = self.steps(state, indices, self.data, rate)
        if whole < len(order):
            state = self.step(state, order[whole:], self.data, rate)
        self.trained, total = jax.block_until_ready(state)
        return float(total) / len(order)

    def layers(self) -> Layers:
        """Return the weights as they are now."""
        return [
            Layer(np.array(weight), np.array(bias)) for weight, bias in self.trained
        ]


IMPLEMENTATIONS = [
    Implementation("JAX jit", partial(JaxTrainer, scan=False)),
    Implementation("JAX scan", partial(JaxTrainer, scan=True)),
]
