"""Backpropagation compared with central differences of the minimized loss, in float64.

Small random networks cover every activation with every option that the gradient depends
on, and depths 1 to 4. All entries of the gradient are compared. The differences are
computed once, from the loss of the plain maths, which every backend must match too.
"""

from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from nnx.automatic import DEFAULT
from nnx.backend import Backend, choose
from nnx.maths import losses, network, regularization, steps
from nnx.maths.arrays import Array, Namespace, map_arrays, moved, named_arrays
from nnx.maths.descent import BatchResult
from nnx.maths.hyperparameters import CONSTANT, Hyperparameters
from nnx.maths.state import (
    Images,
    Layer,
    NormalizedLayer,
    Parameters,
    State,
    initial_state,
)
from nnx.verify.cases import Case, gradient_cases
from nnx.verify.compare import PLAIN, Agreement, relative_error
from nnx.verify.kinks import forward_batch, is_smooth

BOUND = 1e-6
# The number of the step: arbitrary, but dropout masks depend on it.
STEP = 7
# The error of a central difference is of order ε² from the third derivative, and
# of order 1e-16/ε from rounding; their sum is smallest near ε = 1e-5.
EPSILON = 1e-5
# If hidden units, relative to their layer's largest, and weights are at least this far
# from 0, there is no kink within ε. A step of a weight moves normalized units further
# than others.
CLEARANCE = 1e-3
# Of units before normalization: with a smaller one, the third derivative is large.
LEAST_DEVIATION = 0.1
# Relative tolerance for a backend's loss.
SAME_LOSS = 1e-12


class Problem(NamedTuple):
    """A case's state and images, its penalized loss and the slopes of the loss.

    slopes: (n,), d loss / d parameter for all n parameters in turn
    """

    state: State
    images: Images
    hyper: Hyperparameters
    loss: float
    slopes: Array


def gradcheck(backend: str | Backend = DEFAULT) -> list[Agreement]:
    """Return the largest relative error of the gradient for each case."""
    return list(each_case(choose(backend)))


def each_case(backend: Backend) -> Iterator[Agreement]:
    """Yield the largest relative error of the gradient, case by case."""
    for case in gradient_cases():
        with backend.scope():
            error = worst_error(case, backend)
        yield Agreement(backend.name, "float64", case.name, error, BOUND)


def worst_error(case: Case, backend: Backend) -> float:
    """Return the largest error of one case, relative to the gradient's largest entry.

    It is infinite if the loss is not the reference's, or the gradient is not finite.
    """
    posed = problem(case)
    state, images, index = moved(
        (posed.state, posed.images, np.arange(case.batch)), backend.from_numpy
    )
    got = backpropagated(state, images, index, posed.hyper, backend)
    mean = got.loss_sum / case.batch
    loss = _penalized(mean, state.layers, posed.hyper, backend.xp)
    if not abs(backend.to_numpy(loss) - posed.loss) <= SAME_LOSS * posed.loss:
        return float("inf")
    gradients = moved(got.gradients, backend.to_numpy)
    flat = np.concatenate([array.ravel() for _, array in named_arrays(gradients, "")])
    return relative_error(flat, posed.slopes, "float64")


def backpropagated(
    state: State, images: Images, index: Array, hyper: Hyperparameters, backend: Backend
) -> BatchResult:
    """Return a batch's gradients, computed as the backend does in training.

    A backend with its own steps on NumPy arrays does not use the operations of the
    maths. Its gradients are what a step of plain SGD subtracts.
    """
    if backend.own_steps is None or backend.xp is not np:
        return steps.batch_gradients(state, images, index, hyper, backend.ops)
    hyper = hyper._replace(
        optimizer="sgd",
        learning_rate=1.0,
        schedule=CONSTANT,
        momentum_schedule=CONSTANT,
    )
    after = backend.own_steps(state, images, index, 1, hyper)
    gradients = map_arrays(np.subtract, list(state.layers), after.layers)
    return BatchResult(gradients, after.loss_sum, after.score_sum)


@cache
def problem(case: Case) -> Problem:
    """Return a case's network and images, and the slopes of its loss."""
    hyper = case.hyper._replace(pixel_scale=1.0)
    state, images = _drawn(case, hyper)
    loss = _loss(state, images, hyper)
    return Problem(state, images, hyper, loss(), _central_differences(loss, state))


def _loss(state: State, images: Images, hyper: Hyperparameters) -> Callable[[], float]:
    """Return a function that computes the minimized loss, by the plain maths.

    It uses the contents of the state's layers at the time of the call.
    """
    x, labels = steps.inputs(state, images, np.arange(hyper.batch_size), hyper, PLAIN)
    masks = steps.dropout_masks(state, x, 0, hyper, PLAIN)
    layers, stats = state.layers, state.running_stats

    def loss() -> float:
        seen = network.forward(layers, x, hyper.activations, PLAIN, stats, masks)
        mean = losses.mean_loss(seen.logits, labels, hyper, images.weights, xp=np)
        return float(_penalized(mean, layers, hyper, np))

    return loss


def _penalized(
    mean: Array, layers: Parameters, hyper: Hyperparameters, xp: Namespace
) -> Array:
    """Return the mean loss plus the penalties."""
    for layer in layers if hyper.l1 or hyper.l2 else []:
        penalty = regularization.penalty(layer.weight, hyper.l1, hyper.l2, xp=xp)
        mean = mean + penalty
    return mean


def _central_differences(loss: Callable[[], float], state: State) -> Array:
    """Return d loss / d parameter for each parameter in turn, (n,)."""
    slopes = []
    for _, array in named_arrays(state.layers, ""):
        for i in np.ndindex(array.shape):
            before = array[i]
            array[i] = before + EPSILON
            above = loss()
            array[i] = before - EPSILON
            below = loss()
            array[i] = before
            slopes.append((above - below) / (2 * EPSILON))
    return np.asarray(slopes)


def _drawn(case: Case, hyper: Hyperparameters) -> tuple[State, Images]:
    """Return the first random network and batch without a kink nearby."""
    for seed in range(1000):
        rng = np.random.default_rng(seed)
        layers = [
            Layer(rng.normal(size=s), rng.normal(size=s[1]))
            for s in pairwise(case.sizes)
        ]
        pixels = rng.normal(size=(case.batch, case.sizes[0]))
        images = Images(pixels, *case.labels(case.batch, rng))
        state = initial_state(layers, hyper, PLAIN)._replace(step=STEP)
        for layer in state.layers:
            if isinstance(layer, NormalizedLayer):
                layer.gamma[:] = rng.uniform(0.5, 1.5, layer.gamma.shape)
        if _is_clear(state, images, hyper):
            return state, images
    raise AssertionError("no network without a kink nearby")


def _is_clear(state: State, images: Images, hyper: Hyperparameters) -> bool:
    """Return whether the loss has no kink nearby, and no variance is tiny.

    A weight at 0 is a kink of the L1 penalty. A variance is 0 if dropout makes a
    layer's inputs the same for all images.
    """
    index = np.arange(hyper.batch_size)
    caches = forward_batch(state, images, index, hyper).caches
    scales = [c.normalized.scale for c in caches if c.normalized is not None]
    return (
        bool(is_smooth(state, images, index, hyper, CLEARANCE).all())
        and all(np.min(np.abs(la.weight)) > CLEARANCE for la in state.layers)
        and all(np.max(scale) < 1 / LEAST_DEVIATION for scale in scales)
    )
