"""JAX: `jit` of one step, called batch by batch, and `lax.scan` over an epoch's steps.

Images are on the device as bytes, which was no slower than floats, and for `scan` a
little faster. Weights are donated, so that steps write into their memory. Correct
predictions are not counted. On a card there is only `scan`: one call per step waits for
the host.
"""

import os
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from nnx.data.dataset import Array
from nnx.maths.arrays import map_arrays
from nnx.maths.batch_norm import EPSILON, MOMENTUM
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.network import inference_layers
from nnx.maths.ops import Ops
from nnx.maths.state import Layers, RunningStats, initial_state
from nnx_benchmarks.trainer import Implementation
from nnx_benchmarks.workloads import Problem

# As in nnx's own backend on JAX, so that both are measured in one way.
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_default_matmul_precision", "highest")
# Otherwise JAX takes three quarters of a card's memory when it starts.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
CARD = jax.default_backend() == "gpu"
ACTIVATIONS = {
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
}


class JaxTrainer:
    """Plain functions of weights, differentiated and compiled by JAX."""

    def __init__(self, problem: Problem, scan: bool) -> None:
        self.activation = ACTIVATIONS[problem.workload.activation]
        self.hyper, self.dtype = problem.workload.hyper, problem.floats.dtype
        self.data = jnp.asarray(problem.pixels), jnp.asarray(problem.labels, jnp.int32)
        self.step = jax.jit(self._step, donate_argnums=0)
        self.steps = jax.jit(self._steps, donate_argnums=0) if scan else self._loop

    def _loss(self, layers: Any, stats: Any, batch: Any, step: Any) -> Any:
        """Return the mean loss, and the running statistics."""
        (images, labels), rate, renewed = batch, self.hyper.dropout, list(stats)
        *hidden, (weight, bias) = layers
        x = images.astype(weight.dtype) * self.dtype.type(1 / 255)
        key = jax.random.fold_in(jax.random.key(0), step) if rate else None
        for i, (w, b, *gamma) in enumerate(hidden):
            z = x @ w
            if gamma:
                z, renewed[i] = _normalized(z, stats[i])
                z *= gamma[0]
            x = self.activation(z + b)
            if rate:
                own, keep = jax.random.fold_in(key, i), self.dtype.type(1 - rate)
                x = jnp.where(jax.random.bernoulli(own, keep, x.shape), x / keep, 0)
        logits = x @ weight + bias
        right = jnp.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
        return jnp.mean(jax.nn.logsumexp(logits, axis=1) - right), tuple(renewed)

    def _step(self, state: Any, index: Any, data: Any, learning_rate: Any) -> Any:
        step, batch = state.step + 1, [part[index] for part in data]
        (loss, stats), gradients = jax.value_and_grad(self._loss, has_aux=True)(
            state.layers, state.running_stats, batch, step
        )
        directions, memory = _directions(
            gradients, state.optimizer_state, step, self.hyper
        )

        def descend(p: Any, direction: Any) -> Any:
            if self.hyper.weight_decay and p.ndim == 2:
                p *= 1 - learning_rate * self.hyper.weight_decay
            return p - learning_rate * direction

        return state._replace(
            step=step,
            layers=jax.tree.map(descend, state.layers, directions),
            loss_sum=state.loss_sum + loss * index.shape[0],
            optimizer_state=memory,
            running_stats=stats,
        )

    def _steps(self, state: Any, indices: Any, data: Any, learning_rate: Any) -> Any:
        def body(state: Any, index: Any) -> Any:
            return self._step(state, index, data, learning_rate), None

        return lax.scan(body, state, indices)[0]

    def _loop(self, state: Any, indices: Any, data: Any, learning_rate: Any) -> Any:
        for index in indices:
            state = self.step(state, index, data, learning_rate)
        return state

    def load(self, layers: Layers) -> None:
        """Restart training from a copy of these weights."""
        own = map_arrays(jnp.array, list(layers))
        state: Any = initial_state(own, self.hyper, Ops(jnp))
        # If the step here were not an array, or the unused score sum were bound to its
        # device, the state after a first epoch would be of other types, and the second
        # epoch would compile everything again.
        self.state = state._replace(step=jnp.zeros((), np.int32), score_sum=())

    def epoch(self, order: Array, learning_rate: float) -> float:
        """Train on these images; return their mean loss."""
        rate, size = self.dtype.type(learning_rate), self.hyper.batch_size
        order = order.astype(np.int32)
        whole = len(order) - len(order) % size
        state = self.state._replace(loss_sum=jnp.zeros((), self.dtype))
        if whole:
            indices = order[:whole].reshape(-1, size)
            state = self.steps(state, indices, self.data, rate)
        if whole < len(order):
            state = self.step(state, order[whole:], self.data, rate)
        self.state = jax.block_until_ready(state)
        return float(state.loss_sum) / len(order)

    def layers(self) -> Layers:
        """Return the layers for inference."""
        layers: Layers = map_arrays(np.array, inference_layers(self.state, xp=jnp))
        return layers


def _normalized(z: Any, stats: RunningStats) -> tuple[Any, RunningStats]:
    """Return z with mean 0 and variance 1 over the batch, and running statistics."""
    n, mean, variance = len(z), jnp.mean(z, axis=0), jnp.var(z, axis=0)
    seen = RunningStats(mean, variance * (n / (n - 1)))
    running = jax.tree.map(lambda a, b: a + MOMENTUM * (b - a), stats, seen)
    return (z - mean) * lax.rsqrt(variance + EPSILON), running


def _directions(
    gradients: Any, memory: Any, step: Any, hyper: Hyperparameters
) -> tuple[Any, Any]:
    """Return the directions that the learning rate scales, and the optimizer state."""
    if bound := hyper.clip_norm:
        norm = jnp.sqrt(sum(jnp.sum(g * g) for g in jax.tree.leaves(gradients)))
        scale = bound / jnp.maximum(norm, bound)
        gradients = jax.tree.map(lambda g: scale * g, gradients)
    if hyper.optimizer == "sgd":
        return gradients, memory
    if hyper.optimizer == "momentum":
        velocity = jax.tree.map(
            lambda v, g: hyper.momentum * v + g, memory[0], gradients
        )
        return velocity, (velocity,)

    def mean(share: float, old: Any, new: Any) -> Any:
        return jax.tree.map(lambda a, b: share * a + (1 - share) * b, old, new)

    first = mean(hyper.momentum, memory[0], gradients)
    second = mean(hyper.beta2, memory[1], jax.tree.map(jnp.square, gradients))

    def direction(m: Any, s: Any) -> Any:
        a, b = (1 - share**step for share in (hyper.momentum, hyper.beta2))
        return m / a.astype(m.dtype) / (jnp.sqrt(s / b.astype(s.dtype)) + 1e-8)

    return jax.tree.map(direction, first, second), (first, second)


IMPLEMENTATIONS = [
    Implementation(
        name, partial(JaxTrainer, scan=scan), ("float32", "float64"), card=CARD
    )
    for name, scan in [("JAX jit", False), ("JAX scan", True)]
    if scan or not CARD
]
