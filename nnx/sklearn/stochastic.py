"""Training epoch by epoch, by SGD or Adam, as scikit-learn's perceptrons do it."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from sklearn.metrics import r2_score

from nnx.backend import Backend
from nnx.denormals import flushed
from nnx.maths import evaluation, losses
from nnx.maths.arrays import Array, map_arrays
from nnx.maths.blocks import block, block_count
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.state import Images, Layers, Parameters, State, initial_state, no_sums
from nnx.sklearn.places import Place


class Samples(NamedTuple):
    """What is learnt from, or validated on.

    images: on the device
    weights: those of the images, (n,), on the host; None: 1 each
    """

    images: Images
    weights: Array | None = None

    @property
    def size(self) -> int:
        """How many there are."""
        return int(self.images.pixels.shape[0])


def samples_of(
    place: Place, x: Any, targets: Array, weights: Array | None, dtype: str
) -> Samples:
    """Return features, and targets and weights of the host, on the backend's device.

    targets: (n,) class numbers, or (n, outputs), which are to be in this dtype
    """
    kind = dtype if targets.ndim == 2 else ""
    own = None if weights is None else place.inward(weights, dtype)
    return Samples(
        Images(place.inward(x, dtype), place.inward(targets, kind), own), weights
    )


class Optimizer(NamedTuple):
    """Where training stands; what `partial_fit` goes on from.

    learning_rate: of the next epoch
    state: layers, what the optimizer remembers of them, and how many steps it took
    squares: the sum of all weights' squares, where it is known
    """

    learning_rate: float
    state: State
    squares: float | None = None

    def with_rate(self, rate: float) -> "Optimizer":
        """Return it with another rate; velocities keep the length of their steps.

        Those of the maths are not multiplied by the learning rate yet; scikit-learn's
        are, by that of their time.
        """
        if rate == self.learning_rate:
            return self
        scale = self.learning_rate / rate
        memory = map_arrays(lambda array: scale * array, self.state.optimizer_state)
        state = self.state._replace(optimizer_state=memory)
        return self._replace(learning_rate=rate, state=state)


def begun(layers: Layers, hyper: Hyperparameters, backend: Backend) -> Optimizer:
    """Return where training begins."""
    return Optimizer(hyper.learning_rate, initial_state(layers, hyper, backend.ops))


def epoch(
    optimizer: Optimizer,
    samples: Samples,
    order: Array,
    hyper: Hyperparameters,
    alpha: float,
    backend: Backend,
) -> tuple[Optimizer, float, float]:
    """Return where training stands after an epoch, and its mean loss and penalty.

    The loss is each batch's before its step, over the epoch; the penalty is alpha/2
    times the weights' squares over what a batch counts, as scikit-learn has it.

    order: (n,), on the host
    """
    state, size = optimizer.state, hyper.batch_size
    sums = no_sums(state.layers, hyper, backend.ops)
    state = state._replace(loss_sum=sums[0], score_sum=sums[1])
    hyper = hyper._replace(learning_rate=optimizer.learning_rate)
    batches = block_count(len(order), size)
    penalized = alpha > 0.0
    # Squares of weights before the first step and after the last, and a straight line.
    first = optimizer.squares or 0.0
    if penalized and optimizer.squares is None:
        first = squares(state.layers, backend)
    counts = _counts(order, samples.weights, size, alpha)
    for part, count, weight in _parts(counts, order, size, state.step):
        now = hyper._replace(l2=alpha / weight if weight > 0.0 else 0.0)
        index = backend.from_numpy(part)
        with flushed():
            state = backend.run_steps(state, samples.images, index, count, now)
    loss = float(backend.to_numpy(state.loss_sum)) / len(order)
    if not penalized:
        return optimizer._replace(state=state), loss, 0.0
    last = squares(state.layers, backend)
    mean = first + (last - first) * (batches - 1) / (2 * batches)
    whole = float(np.sum(counts))
    penalty = 0.5 * alpha * mean * batches / whole if whole > 0.0 else 0.0
    return optimizer._replace(state=state, squares=last), loss, penalty


def squares(layers: Parameters, backend: Backend) -> float:
    """Return the sum of all weights' squares."""
    xp = backend.xp
    sums = [xp.sum(layer.weight * layer.weight) for layer in layers]
    return float(backend.to_numpy(sum(sums[1:], sums[0])))


def _counts(order: Array, weights: Array | None, size: int, alpha: float) -> Array:
    """Return what each batch counts, (batches,); all alike where none is penalized."""
    n = len(order)
    if alpha == 0.0:
        return np.ones(block_count(n, size))
    if weights is None:
        counts = np.full(block_count(n, size), float(size))
        counts[-1] -= block_count(n, size) * size - n
        return counts
    starts = np.arange(0, n, size)
    return np.add.reduceat(np.asarray(weights, np.float64)[order], starts)


def _parts(
    counts: Array, order: Array, size: int, step: int
) -> Iterator[tuple[Array, int, float]]:
    """Yield the epoch in calls of `run_steps`: an order, steps, what a batch counts.

    Batches that count alike are one call. A batch's place in the order follows from the
    number of steps; where it does not, after an epoch of other data, each is an order.
    """
    if step % len(counts):
        for i, weight in enumerate(counts):
            yield order[block(i, len(order), size)], 1, float(weight)
        return
    if len(counts) == 1:
        yield order, 1, float(counts[0])
        return
    ends = np.flatnonzero(np.diff(counts)) + 1
    for first, last in zip([0, *ends], [*ends, len(counts)], strict=True):
        yield order, int(last - first), float(counts[first])


def validated(
    layers: Layers, samples: Samples, hyper: Hyperparameters, backend: Backend
) -> tuple[float, float]:
    """Return the mean loss of samples and their score: accuracy, or R².

    Not a number where outputs are not finite.
    """
    images, xp = samples.images, backend.xp
    plain = hyper._replace(label_smoothing=0.0)
    how = hyper.activations, hyper.pixel_scale, backend.ops
    logits = evaluation.all_logits(layers, images.pixels, *how)
    loss = losses.mean_loss(logits, images.labels, plain, images.weights, xp=xp)
    outputs = backend.to_numpy(losses.LOSSES[hyper.loss].outputs(logits, xp=xp))
    labels = backend.to_numpy(images.labels)
    score = float("nan")
    if np.isfinite(outputs).all():
        score = _score(outputs, labels, samples.weights, hyper.loss)
    return float(backend.to_numpy(loss)), score


def _score(outputs: Array, labels: Array, weights: Any, loss: str) -> float:
    """Return the share of rows that are right, or R²."""
    if loss == "cross_entropy":
        return float(np.average(np.argmax(outputs, axis=1) == labels, weights=weights))
    if loss == "binary_cross_entropy":
        right = np.all((outputs > 0.5) == (labels > 0.5), axis=1)
        return float(np.average(right, weights=weights))
    return float(r2_score(labels, outputs, sample_weight=weights))
