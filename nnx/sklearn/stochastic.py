"""Training by epochs of SGD or Adam, as scikit-learn's perceptrons do."""

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
    """Samples for training or validation.

    images: on the device
    weights: of the images, (n,), on the host; None: 1 each
    """

    images: Images
    weights: Array | None = None

    @property
    def size(self) -> int:
        """Number of samples."""
        return int(self.images.pixels.shape[0])


def samples_of(
    place: Place, x: Any, targets: Array, weights: Array | None, dtype: str
) -> Samples:
    """Move features, targets and weights to the backend's device.

    targets: (n,) class numbers, or (n, outputs), which are converted to dtype
    """
    kind = dtype if targets.ndim == 2 else ""
    own = None if weights is None else place.inward(weights, dtype)
    return Samples(
        Images(place.inward(x, dtype), place.inward(targets, kind), own), weights
    )


class Optimizer(NamedTuple):
    """The state of training, from which `partial_fit` continues.

    learning_rate: of the next epoch
    state: the layers, the optimizer's state and the number of steps
    squares: the sum of the squares of all weights, if known
    """

    learning_rate: float
    state: State
    squares: float | None = None

    def with_rate(self, rate: float) -> "Optimizer":
        """Return the optimizer with another rate and rescaled velocities.

        scikit-learn's velocities include the rate at the time; those of the maths do
        not, and are rescaled so that the steps keep their length.
        """
        if rate == self.learning_rate:
            return self
        scale = self.learning_rate / rate
        memory = map_arrays(lambda array: scale * array, self.state.optimizer_state)
        state = self.state._replace(optimizer_state=memory)
        return self._replace(learning_rate=rate, state=state)


def begun(layers: Layers, hyper: Hyperparameters, backend: Backend) -> Optimizer:
    """Return the optimizer at the start of training."""
    return Optimizer(hyper.learning_rate, initial_state(layers, hyper, backend.ops))


def epoch(
    optimizer: Optimizer,
    samples: Samples,
    order: Array,
    hyper: Hyperparameters,
    alpha: float,
    backend: Backend,
) -> tuple[Optimizer, float, float]:
    """Return the optimizer after an epoch, and the epoch's mean loss and penalty.

    The loss of each batch is taken before its step. The penalty is alpha/2 times the
    sum of squared weights, divided by the batch's total weight, as in scikit-learn.

    order: (n,), on the host
    """
    state, size = optimizer.state, hyper.batch_size
    sums = no_sums(state.layers, hyper, backend.ops)
    state = state._replace(loss_sum=sums[0], score_sum=sums[1])
    hyper = hyper._replace(learning_rate=optimizer.learning_rate)
    batches = block_count(len(order), size)
    penalized = alpha > 0.0
    # Squared weights are summed before the first step and after the last one, and
    # interpolated linearly in between.
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
    steps = np.arange(batches)
    sizes = np.diff(steps * size, append=len(order))
    shares = np.divide(sizes, counts, out=np.zeros(batches), where=counts > 0.0)
    whole, later = float(np.sum(shares)), float(shares @ steps) / batches
    penalty = 0.5 * alpha * (first * whole + (last - first) * later) / len(order)
    return optimizer._replace(state=state, squares=last), loss, penalty


def squares(layers: Parameters, backend: Backend) -> float:
    """Return the sum of the squares of all weights."""
    xp = backend.xp
    sums = [xp.sum(layer.weight * layer.weight) for layer in layers]
    return float(backend.to_numpy(sum(sums[1:], sums[0])))


def _counts(order: Array, weights: Array | None, size: int, alpha: float) -> Array:
    """Return the total weight of each batch, (batches,); all 1 without a penalty."""
    starts = np.arange(0, len(order), size)
    if alpha == 0.0:
        return np.ones(len(starts))
    if weights is None:
        return np.minimum(len(order) - starts, float(size))
    return np.add.reduceat(np.asarray(weights, np.float64)[order], starts)


def _parts(
    counts: Array, order: Array, size: int, step: int
) -> Iterator[tuple[Array, int, float]]:
    """Yield the calls of `run_steps` for an epoch: order, steps, weight of a batch.

    Consecutive batches of the same weight share a call. `run_steps` finds a batch in
    the order by the number of steps taken. If the last epoch had other data, that
    number does not fit, and each batch is passed as an order of its own.
    """
    if step % len(counts):
        for i, weight in enumerate(counts):
            yield order[block(i, len(order), size)], 1, float(weight)
        return
    ends = np.flatnonzero(np.diff(counts)) + 1
    for first, last in zip([0, *ends], [*ends, len(counts)], strict=True):
        yield order, int(last - first), float(counts[first])


def validated(
    layers: Layers, samples: Samples, hyper: Hyperparameters, backend: Backend
) -> tuple[float, float]:
    """Return the mean loss of samples and their score, accuracy or R².

    The loss is of targets without label smoothing. The score is NaN if an output is
    not finite.
    """
    images, xp = samples.images, backend.xp
    targets, plain = images.labels, hyper._replace(label_smoothing=0.0)
    if hyper.loss == "binary_cross_entropy":  # smoothed already
        targets = xp.astype(targets > 0.5, targets.dtype)
    how = hyper.activations, hyper.pixel_scale, backend.ops
    logits = evaluation.logits(layers, images.pixels, *how)
    loss = losses.mean_loss(logits, targets, plain, images.weights, xp=xp)
    outputs = backend.to_numpy(losses.LOSSES[hyper.loss].outputs(logits, xp=xp))
    labels = backend.to_numpy(targets)
    score = float("nan")
    if np.isfinite(outputs).all():
        score = _score(outputs, labels, samples.weights, hyper.loss)
    return float(backend.to_numpy(loss)), score


def _score(outputs: Array, labels: Array, weights: Any, loss: str) -> float:
    """Return the weighted accuracy, or R²."""
    if loss == "cross_entropy":
        return float(np.average(np.argmax(outputs, axis=1) == labels, weights=weights))
    if loss == "binary_cross_entropy":
        right = np.all((outputs > 0.5) == (labels > 0.5), axis=1)
        return float(np.average(right, weights=weights))
    return float(r2_score(labels, outputs, sample_weight=weights))
