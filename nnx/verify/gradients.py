"""Backpropagation against central differences of what is minimized, in float64.

Every activation with every option that the gradient depends on, and at depths 1 to 4,
on small random networks. The whole gradient is compared, no entry left out, and every
case is taken on every backend: the differences are taken once, of the plain maths'
loss, which every backend must give too.
"""

from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from nnx.automatic import DEFAULT
from nnx.backend import Backend, choose
from nnx.maths import losses, network, regularization, steps
from nnx.maths.arrays import Array, Namespace, map_arrays, named_arrays
from nnx.maths.descent import BatchResult
from nnx.maths.hyperparameters import Hyperparameters, Schedule
from nnx.maths.state import (
    Images,
    Layer,
    NormalizedLayer,
    Parameters,
    State,
    initial_state,
)
from nnx.verify.cases import Case, gradient_cases
from nnx.verify.compare import PLAIN, Agreement, moved, relative_error
from nnx.verify.kinks import forward_batch, is_smooth

BOUND = 1e-6
# Any step will do, and a mask is a function of it.
STEP = 7
# The error of a central difference is of order ε² from the third derivative, and
# of order 1e-16/ε from rounding; their sum is smallest near ε = 1e-5.
EPSILON = 1e-5
# A network whose hidden units and weights stay this far from 0 has no kink within ε.
# Normalized units are moved further by a step of a weight than others.
CLEARANCE = 1e-3
# Of a unit before it is normalized: over less, the third derivative would be large.
LEAST_DEVIATION = 0.1
# How near a backend's loss must be to the reference's, relative to it.
SAME_LOSS = 1e-12


class Problem(NamedTuple):
    """A case's state and images, its penalized loss and the slopes of that.

    slopes: (n,), d loss / d parameter for all n parameters, one after another
    """

    state: State
    images: Images
    hyper: Hyperparameters
    loss: float
    slopes: Array


def gradcheck(backend: str | Backend = DEFAULT) -> list[Agreement]:
    """Return the largest relative error of the gradient for every case."""
    return list(each_case(choose(backend)))


def each_case(backend: Backend) -> Iterator[Agreement]:
    """Yield the largest relative error of the gradient for one case after another."""
    for case in gradient_cases():
        with backend.scope():
            error = worst_error(case, backend)
        yield Agreement(backend.name, "float64", case.name, error, BOUND)


def worst_error(case: Case, backend: Backend) -> float:
    """Return one case's largest error, relative to the gradient's largest entry.

    It is infinite where the loss is not the reference's, or the gradient not finite.
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
    """Return a batch's gradients, by what the backend trains with.

    Steps of its own on NumPy's arrays are not made of the maths' operations: there the
    gradients are what a step of plain SGD takes off.
    """
    if backend.own_steps is None or backend.xp is not np:
        return steps.batch_gradients(state, images, index, hyper, backend.ops)
    constant = Schedule()
    hyper = hyper._replace(
        optimizer="sgd",
        learning_rate=1.0,
        schedule=constant,
        momentum_schedule=constant,
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
    """Return what training minimizes, by the plain maths without any gradient.

    It is a function of what the arrays of the state's layers hold when it is called.
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
    """Return the mean loss with the penalties."""
    for layer in layers if hyper.l1 or hyper.l2 else []:
        penalty = regularization.penalty(layer.weight, hyper.l1, hyper.l2, xp=xp)
        mean = mean + penalty
    return mean


def _central_differences(loss: Callable[[], float], state: State) -> Array:
    """Return d loss / d parameter for every parameter, one after another, (n,)."""
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
    """Return the first random network and batch that come near no kink."""
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
    """Return whether no kink of the loss is near, and no variance is tiny.

    A weight at 0 is a kink of the L1 penalty. Dropout may leave a layer's inputs the
    same in all images, and nothing to divide by.
    """
    index = np.arange(hyper.batch_size)
    caches = forward_batch(state, images, index, hyper).caches
    scales = [c.normalized.scale for c in caches if c.normalized is not None]
    return (
        bool(is_smooth(state, images, index, hyper, CLEARANCE).all())
        and all(np.min(np.abs(la.weight)) > CLEARANCE for la in state.layers)
        and all(np.max(scale) < 1 / LEAST_DEVIATION for scale in scales)
    )
