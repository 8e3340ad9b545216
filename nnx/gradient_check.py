"""Backpropagation against central differences of what is minimized, in float64.

Every activation with every loss and penalty, with and without batch normalization and
dropout, and every activation at depths 1 to 4, on small random networks. The whole
gradient is compared, no entry left out, and the full product is taken on every backend:
the differences are taken once, of the plain maths' loss, which every backend must give
too.
"""

from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise, product
from typing import Any, NamedTuple

import numpy as np

from nnx.backend import Backend, find
from nnx.data.dataset import Array
from nnx.maths import regularization, steps
from nnx.maths.activations import ACTIVATIONS
from nnx.maths.batch_norm import Moments
from nnx.maths.network import Layer, Layers, NormedLayer, forward
from nnx.maths.steps import Images, Recipe, State
from nnx.network import to_device, to_host
from nnx.reference import PLAIN, before_activation, relative_error
from nnx.training.loop import start

FEATURES, HIDDEN, CLASSES, BATCH = 5, 4, 3, 6
DEPTHS = 1, 2, 3, 4
LOSSES: dict[str, dict[str, Any]] = {
    "": {},
    "smoothing 0.1": {"smoothing": 0.1},
    "class weights": {"class_weights": (0.5, 1.0, 2.0)},
    "smoothing 0.1, class weights": {
        "smoothing": 0.1, "class_weights": (0.5, 1.0, 2.0)
    },
}  # fmt: skip
PENALTIES = {
    "": {}, "l1 0.1": {"l1": 0.1}, "l2 0.1": {"l2": 0.1},
    "l1 0.1, l2 0.1": {"l1": 0.1, "l2": 0.1},
}  # fmt: skip
DROPOUT = {"": {}, "dropout": {"input_dropout": 0.2, "dropout": 0.3}}
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


class Case(NamedTuple):
    """A network and how it is trained; options are a recipe's."""

    activation: str
    depth: int
    names: tuple[str, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()
    batch_norm: bool = False
    batch: int = BATCH

    @property
    def name(self) -> str:
        """Such as gelu, 3 layers, smoothing 0.1, batch norm."""
        return ", ".join([self.activation, f"{self.depth} layers", *self.names])

    @property
    def recipe(self) -> Recipe:
        """What a step does."""
        names = (self.activation,) * (self.depth - 1) + ("identity",)
        return Recipe(names, 1.0, self.batch, **dict(self.options))


class Check(NamedTuple):
    """One network's result: |analytic - numeric| over the largest entry."""

    backend: str
    case: str
    max_relative_error: float


class Problem(NamedTuple):
    """A case's state and images, its penalized loss and the slopes of that."""

    state: State
    images: Images
    loss: float
    numeric: Array


def gradcheck(backend: str | Backend = "numpy") -> list[Check]:
    """Return the largest relative error of the gradient for every case."""
    return list(checks(find(backend) if isinstance(backend, str) else backend))


def cases() -> list[Case]:
    """Return every case that is checked."""
    depths = [
        _case(activation, depth, {}, penalty)
        for activation, depth in product(ACTIVATIONS, DEPTHS)
        for penalty in ("", "l2 0.1")
    ]
    options = [
        _case(activation, 3, {}, penalty, loss, normed, left_out)
        for activation, loss, penalty, normed, left_out in product(
            ACTIVATIONS, LOSSES, PENALTIES, (False, True), DROPOUT
        )
    ]
    alone = [
        _case(activation, depth, {"batch": 1}, batch_norm=True)
        for activation, depth in product(ACTIVATIONS, (2, 3))
    ]
    return list(dict.fromkeys(depths + options + alone))


def _case(
    activation: str,
    depth: int,
    more: dict[str, Any],
    penalty: str = "",
    loss: str = "",
    batch_norm: bool = False,
    left_out: str = "",
) -> Case:
    options = LOSSES[loss] | PENALTIES[penalty] | DROPOUT[left_out]
    normed = "batch norm" if batch_norm else ""
    one = "batch of one" if "batch" in more else ""
    names = tuple(filter(None, (loss, penalty, normed, left_out, one)))
    return Case(activation, depth, names, tuple(options.items()), batch_norm, **more)


def checks(backend: Backend) -> Iterator[Check]:
    """Yield each case's result as it is ready."""
    for case in cases():
        with backend.scope():
            error = worst_error(case, backend)
        yield Check(backend.name, case.name, error)


def worst_error(case: Case, backend: Backend) -> float:
    """Return one case's largest error, relative to the gradient's largest entry.

    It is infinite where the loss is not the reference's, or the gradient not finite.
    """
    posed, recipe, xp = problem(case), case.recipe, backend.xp
    images = Images(*map(backend.from_numpy, posed.images))
    index = backend.from_numpy(np.arange(case.batch))
    state = posed.state._replace(
        layers=to_device(posed.state.layers, backend),
        moments=tuple(
            Moments(*map(backend.from_numpy, each)) for each in posed.state.moments
        ),
    )
    sums = steps.batch_sums(state, images, index, STEP, recipe, backend)
    loss = backend.to_numpy(_penalized(state, sums.loss_sum, recipe, xp))
    if not abs(loss - posed.loss) <= SAME_LOSS * posed.loss:
        return float("inf")
    analytic = _flat(to_host(sums.gradients, backend))
    return relative_error(analytic, posed.numeric, np.float64)


@cache
def problem(case: Case) -> Problem:
    """Return a case's network and images, and the slopes of its loss."""
    state, images = _drawn(case)
    factors = _factors(state, images, case.recipe)

    def loss(state: State) -> float:
        return _loss(state, images, factors, case.recipe)

    return Problem(state, images, loss(state), _central_differences(loss, state))


def _factors(state: State, images: Images, recipe: Recipe) -> list[Array]:
    return steps.left_out(state.layers, images.pixels, 0, STEP, recipe, PLAIN)


def _loss(state: State, images: Images, factors: list[Array], recipe: Recipe) -> float:
    """Return what training minimizes, by the plain maths without any gradient."""
    x, names = images.pixels, recipe.activations
    _, _, logits = forward(state.layers, x, names, PLAIN, state.moments, factors)
    mean, _ = PLAIN.cross_entropy(
        logits,
        images.labels,
        smoothing=recipe.smoothing,
        class_weights=recipe.class_weights,
        xp=np,
    )
    return float(_penalized(state, mean * len(x), recipe, np))


def _penalized(state: State, loss_sum: Array, recipe: Recipe, xp: Any) -> Array:
    """Return the mean loss with the penalties."""
    total = loss_sum / recipe.batch_size
    for layer in state.layers if recipe.l1 or recipe.l2 else []:
        total = total + regularization.penalty(
            layer.weight, recipe.l1, recipe.l2, xp=xp
        )
    return total


def _central_differences(loss: Callable[[State], float], state: State) -> Array:
    """Return d loss / d parameter for every parameter, one after another, (n,)."""
    slopes = []
    for array in (array for layer in state.layers for array in layer):
        for i in np.ndindex(array.shape):
            kept = array[i]
            array[i] = kept + EPSILON
            above = loss(state)
            array[i] = kept - EPSILON
            below = loss(state)
            array[i] = kept
            slopes.append((above - below) / (2 * EPSILON))
    return np.asarray(slopes)


def _drawn(case: Case) -> tuple[State, Images]:
    """Return the first random network and batch that come near no kink."""
    sizes = [FEATURES, *[HIDDEN] * (case.depth - 1), CLASSES]
    for seed in range(100):
        rng = np.random.default_rng(seed)
        layers: Layers = [
            Layer(rng.normal(size=s), rng.normal(size=s[1])) for s in pairwise(sizes)
        ]
        images = Images(
            rng.normal(size=(case.batch, FEATURES)),
            rng.integers(0, CLASSES, case.batch),
        )
        state = start(layers, PLAIN, batch_norm=case.batch_norm).state
        state = state._replace(layers=[_with_gain(la, rng) for la in state.layers])
        if _is_smooth(state, images, case.recipe):
            return state, images
    raise AssertionError("no network without a kink nearby")


def _with_gain(layer: Layer | NormedLayer, rng: np.random.Generator) -> Any:
    """Return a normalized layer with a gain of its own, and another as it is."""
    if isinstance(layer, NormedLayer):
        return layer._replace(gain=rng.uniform(0.5, 1.5, layer.gain.shape))
    return layer


def _is_smooth(state: State, images: Images, recipe: Recipe) -> bool:
    """Return whether no hidden unit nor weight is near 0, and no variance tiny.

    Dropout may leave a layer's inputs the same in all images, and nothing to divide by.
    """
    x, names = images.pixels, recipe.activations
    factors = _factors(state, images, recipe)
    traces, _, _ = forward(state.layers, x, names, PLAIN, state.moments, factors)
    inputs = [
        before_activation(layer, trace)
        for layer, trace in zip(state.layers, traces, strict=True)
    ]
    weights = [layer.weight for layer in state.layers]
    scales = [t.normalized.scale for t in traces if t.normalized is not None]
    return all(np.min(np.abs(a)) > CLEARANCE for a in inputs + weights) and all(
        np.max(scale) < 1 / LEAST_DEVIATION for scale in scales
    )


def _flat(layers: Layers) -> Array:
    return np.concatenate([array.ravel() for layer in layers for array in layer])
