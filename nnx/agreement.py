"""Every backend against the plain maths in float64 on NumPy, the reference.

A backend may replace kernels, or whole training steps; both are compared: the
gradients that its kernels give, one step, and three steps of which the last is short.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from nnx.backend import Backend, find, names
from nnx.data.dataset import Array
from nnx.errors import NnxError
from nnx.maths import steps
from nnx.maths.network import Layer, Layers
from nnx.maths.optimizers import Rates
from nnx.maths.steps import Epoch, Images, Recipe, State, Sums
from nnx.network import Network, to_device
from nnx.reference import PLAIN, change_errors, cleared, errors, on_host, widened
from nnx.training.loop import start

REFERENCE = "numpy float64"
# Of the difference, relative to the largest entry of each array.
BOUNDS = {"float64": 1e-12, "float32": 1e-5}
RATES, L2 = Rates(0.1), 0.01


class Case(NamedTuple):
    """A network and its batch; sizes as for `Network`, activation of hidden layers."""

    sizes: tuple[int, ...]
    activation: str
    batch: int

    @property
    def name(self) -> str:
        """Such as 784-10-10 relu."""
        return f"{'-'.join(map(str, self.sizes))} {self.activation}"


CASES = (
    Case((784, 10), "identity", 128),
    Case((784, 10, 10), "relu", 128),
    Case((784, 25, 25, 10), "relu", 128),
    Case((784, 128, 10), "tanh", 64),
    Case((784, 1000, 10), "tanh", 64),
    Case((784, 800, 800, 10), "relu", 64),
    Case((784, 100, 50, 10), "identity", 64),
    Case((784, 100, 50, 10), "leaky_relu", 64),
    Case((64, 48, 32, 16, 10), "elu", 64),
    Case((64, 48, 32, 16, 10), "sigmoid", 64),
    Case((64, 48, 32, 16, 10), "softplus", 64),
    Case((64, 30, 10), "relu", 1500),
    Case((37, 13, 7, 5), "relu", 17),
    Case((37, 13, 7, 5), "tanh", 17),
    Case((1, 1, 2), "tanh", 1),
)


class Agreement(NamedTuple):
    """How far a backend is from the reference, over the largest entry of each array.

    max_relative_error: infinite where a dtype or a shape is wrong
    """

    backend: str
    dtype: str
    network: str
    max_relative_error: float

    @property
    def within_bound(self) -> bool:
        """Whether the backend agrees."""
        return self.max_relative_error <= BOUNDS[self.dtype]


class Problem(NamedTuple):
    """What a backend computes, on the host, and the reference's results.

    gradients: of the first batch, without L2
    one_step: after the first batch, without L2
    three_steps: after all batches, with L2
    """

    layers: Layers
    images: Images
    order: Array
    recipe: Recipe
    gradients: Sums
    one_step: State
    three_steps: State


def parity(*backends: str | Backend) -> list[Agreement]:
    """Return how far these backends are from the reference; none: all usable ones."""
    chosen = [find(b) if isinstance(b, str) else b for b in backends]
    return list(agreements(chosen or _usable()))


def _usable() -> list[Backend]:
    found = []
    for name in names():
        with suppress(NnxError):
            found.append(find(name))
    return found


def agreements(backends: Sequence[Backend]) -> Iterator[Agreement]:
    """Yield each network's results as they are ready."""
    for case in CASES:
        for dtype in BOUNDS:
            posed = problem(case, dtype)
            for backend in backends:
                with backend.scope():
                    error = worst_error(posed, backend)
                yield Agreement(backend.name, dtype, case.name, error)


def problem(case: Case, dtype: str) -> Problem:
    """Return a case's network, images and results.

    The reference computes in float64 from parameters that are rounded to dtype, so
    that nothing but the computation differs.
    """
    rng = np.random.default_rng(case.sizes)
    model = Network(case.sizes, case.activation, seed=0, dtype=dtype).model
    layers = [
        Layer(weight, rng.normal(0, 0.1, bias.shape).astype(dtype))
        for weight, bias in model.layers
    ]
    n = 2 * case.batch + case.batch // 2 + 1
    pixels = rng.integers(0, 256, (n, case.sizes[0]), np.uint8)
    images = Images(pixels, rng.integers(0, case.sizes[-1], n))
    recipe = Recipe(model.activations, 1 / 255, case.batch, l2=L2)
    order, three_steps = cleared(
        layers, images, rng.permutation(n), 0, 3, recipe, [RATES] * 3
    )
    free, begun = recipe._replace(l2=0.0), start(widened(layers), PLAIN).state
    return Problem(
        layers,
        images,
        order,
        recipe,
        steps.batch_sums(begun, images, order[: case.batch], 0, free, PLAIN),
        steps.run_steps(begun, images, Epoch(order, [RATES]), 0, 1, free, PLAIN),
        three_steps,
    )


def worst_error(posed: Problem, backend: Backend) -> float:
    """Return the largest error of the backend's gradients, one step and three."""
    dtype = str(posed.layers[0].weight.dtype)
    layers = to_device(posed.layers, backend)
    images = Images(*(backend.from_numpy(array) for array in posed.images))
    epoch = Epoch(backend.from_numpy(posed.order), [RATES] * 3)
    free, index = posed.recipe._replace(l2=0.0), epoch.order[: posed.recipe.batch_size]
    state = start(layers, backend).state
    sums = steps.batch_sums(state, images, index, 0, free, backend)
    found = errors(on_host(sums, backend), posed.gradients, dtype)
    worst = max(found.values())
    for last, recipe, expected in (
        (1, free, posed.one_step),
        (3, posed.recipe, posed.three_steps),
    ):
        state = start(layers, backend).state
        state = backend.run_steps(state, images, epoch, 0, last, recipe, backend)
        got = on_host(state, backend)
        found = errors(got, expected, dtype)
        found |= change_errors(posed.layers, got.layers, expected.layers, last)
        worst = max(worst, *found.values())
    return worst
