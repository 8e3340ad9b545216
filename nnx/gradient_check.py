"""Backpropagation against central differences of the loss, in float64.

Every activation, depths 1 to 4, with and without L2, on small random networks.
The whole gradient is compared, no entry left out.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from nnx.backend import Backend, find
from nnx.data.dataset import Array
from nnx.maths import regularization, steps
from nnx.maths.activations import ACTIVATIONS
from nnx.maths.network import Layer, Layers, forward, logits
from nnx.maths.steps import Images, Recipe, State
from nnx.network import to_device, to_host

FEATURES, HIDDEN, CLASSES, BATCH = 5, 4, 3, 6
DEPTHS = 1, 2, 3, 4
STRENGTHS = 0.0, 0.1
# The error of a central difference is of order ε² from the third derivative, and
# of order 1e-16/ε from rounding; their sum is smallest near ε = 1e-5.
EPSILON = 1e-5
# A network whose hidden units all stay this far from 0 has no kink within ε.
CLEARANCE = 1e-3


class Check(NamedTuple):
    """One network's result: |analytic - numeric| over the largest entry."""

    backend: str
    case: str
    max_relative_error: float


def gradcheck(backend: str | Backend = "numpy") -> list[Check]:
    """Return the largest relative error of the gradient for every case."""
    return list(checks(find(backend) if isinstance(backend, str) else backend))


def cases() -> list[tuple[str, int, float]]:
    """Return every activation, depth and L2 strength that is checked."""
    return [(a, d, l2) for a in ACTIVATIONS for d in DEPTHS for l2 in STRENGTHS]


def checks(backend: Backend) -> Iterator[Check]:
    """Yield each case's result as it is ready."""
    for activation, depth, l2 in cases():
        with backend.scope():
            error = worst_error(activation, depth, l2, backend)
        case = f"{activation}, {depth} layers" + (f", l2 {l2:g}" if l2 else "")
        yield Check(backend.name, case, error)


def worst_error(activation: str, depth: int, l2: float, backend: Backend) -> float:
    """Return one case's largest error, relative to the gradient's largest entry."""
    activations = (activation,) * (depth - 1) + ("identity",)
    recipe = Recipe(activations, 1.0, BATCH, l2=l2)
    layers, host = _drawn(activations, depth)
    images = Images(*(backend.from_numpy(array) for array in host))
    index = backend.from_numpy(np.arange(BATCH))

    def loss(moved: Layers) -> float:
        return _loss(to_device(moved, backend), images, recipe, backend)

    state = State(to_device(layers, backend), 0.0, 0)
    sums = steps.batch_sums(state, images, index, 0, recipe, backend)
    analytic = _flat(to_host(sums.gradients, backend))
    numeric = _central_differences(loss, layers)
    return float(np.max(np.abs(analytic - numeric)) / np.max(np.abs(numeric)))


def _loss(layers: Layers, images: Images, recipe: Recipe, backend: Backend) -> float:
    """Return what training minimizes: the mean loss with the penalty."""
    xp = backend.xp
    z = logits(layers, images.pixels, recipe.activations, backend)
    loss, _ = backend.cross_entropy(z, images.labels, xp=xp)
    for weight, _ in layers if recipe.l2 else []:
        loss = loss + regularization.penalty(weight, 0.0, recipe.l2, xp=xp)
    return float(backend.to_numpy(loss))


def _central_differences(loss: Callable[[Layers], float], layers: Layers) -> Array:
    """Return d loss / d parameter for every parameter, one after another, (n,)."""
    slopes = []
    for array in (array for layer in layers for array in layer):
        for i in np.ndindex(array.shape):
            kept = array[i]
            array[i] = kept + EPSILON
            above = loss(layers)
            array[i] = kept - EPSILON
            below = loss(layers)
            array[i] = kept
            slopes.append((above - below) / (2 * EPSILON))
    return np.asarray(slopes)


def _drawn(activations: tuple[str, ...], depth: int) -> tuple[Layers, Images]:
    """Return the first random network and batch that come near no kink."""
    sizes = [FEATURES, *[HIDDEN] * (depth - 1), CLASSES]
    reference = find("numpy")
    for seed in range(100):
        rng = np.random.default_rng(seed)
        layers = [
            Layer(rng.normal(size=s), rng.normal(size=s[1])) for s in pairwise(sizes)
        ]
        images = Images(
            rng.normal(size=(BATCH, FEATURES)), rng.integers(0, CLASSES, BATCH)
        )
        traces, _, _ = forward(layers, images.pixels, activations, reference)
        inputs = (t.x @ w + b for t, (w, b) in zip(traces, layers, strict=True))
        if all(np.min(np.abs(z)) > CLEARANCE for z in inputs):
            return layers, images
    raise AssertionError("no network without a kink nearby")


def _flat(layers: Layers) -> Array:
    return np.concatenate([array.ravel() for layer in layers for array in layer])
