"""Every backend against the plain maths in float64 on NumPy, the reference.

A backend may replace kernels, or whole training steps; both are compared: the
gradients that its kernels give, one step, and three steps of which the last is short,
with every option that a backend's own steps may have a way of their own with.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from nnx.backend import Backend, find, names
from nnx.errors import NnxError
from nnx.maths import steps
from nnx.maths.network import Layers
from nnx.maths.optimizers import Rates
from nnx.maths.steps import Epoch, Images, Recipe, State, Sums
from nnx.network import Network, to_device
from nnx.reference import PLAIN, change_errors, cleared, errors, on_host, widened
from nnx.training.loop import start

REFERENCE = "numpy float64"
# Of the difference, relative to the largest entry of each array.
BOUNDS = {"float64": 1e-12, "float32": 1e-5}
# No rate is another's, nor the next step's.
RATES = [
    Rates(0.1, 0.9, 3.0, 2.5, 0.7), Rates(0.07, 0.8, 2.0, 1.5, 0.8),
    Rates(0.12, 0.85, 1.5, 1.2, 0.6),
]  # fmt: skip
BEGIN = 1000  # steps the run took before


class Case(NamedTuple):
    """A network and its batch; sizes as for `Network`, activation of hidden layers.

    options: of the recipe
    """

    sizes: tuple[int, ...]
    activation: str
    batch: int
    options: tuple[tuple[str, Any], ...] = ()
    averaged: bool = False
    batch_norm: bool = False

    @property
    def name(self) -> str:
        """Such as 784-10-10 relu, or 64-48-32-10 tanh momentum."""
        more = [str(v) if k == "optimizer" else k for k, v in self.options]
        more += [k for k in ("averaged", "batch_norm") if getattr(self, k)]
        return " ".join(["-".join(map(str, self.sizes)), self.activation, *more])


def _with(
    activation: str, averaged: bool = False, batch_norm: bool = False, **options: Any
) -> Case:
    """Return a case of some options, with two hidden layers, narrow and wide."""
    sizes, pairs = (45, 70, 12, 3), tuple(options.items())
    return Case(sizes, activation, 23, pairs, averaged, batch_norm)


# Adam and RMSprop divide a gradient by its own size. Where it is a sum that all but
# cancels, what is left of it is rounding, and so is the step: no two orders of a sum
# agree there. So their networks are small and no gradient of theirs all but cancels.
WEIGHTS = 0.5, 1.0, 2.0
L2: tuple[tuple[str, Any], ...] = (("l2", 0.01),)
OPTIONAL = (
    _with("relu", optimizer="momentum"),
    _with("tanh", optimizer="nesterov"),
    Case((8, 36, 3), "tanh", 64, (("optimizer", "adam"), ("beta2", 0.99))),
    Case((8, 36, 3), "tanh", 64, (("optimizer", "rmsprop"), ("beta2", 0.9))),
    _with("relu", weight_decay=0.3),
    _with("tanh", l1=0.01),
    _with("relu", max_norm=1.0),
    _with("relu", input_dropout=0.2, dropout=0.5),
    _with("tanh", dropout=0.3),
    _with("relu", smoothing=0.1),
    _with("tanh", class_weights=WEIGHTS),
    _with("tanh", smoothing=0.1, class_weights=WEIGHTS),
    _with("relu", clip_norm=0.1),
    _with("tanh", averaged=True),
    _with("tanh", batch_norm=True),
    _with("gelu", batch_norm=True, dropout=0.3, optimizer="momentum"),
    _with("silu", optimizer="nesterov", weight_decay=0.3, l1=0.01, max_norm=1.0),
    _with(
        "tanh", averaged=True, optimizer="momentum", l1=0.01, **dict(L2),
        weight_decay=0.3, clip_norm=0.1, max_norm=1.0, input_dropout=0.2, dropout=0.5,
        smoothing=0.1, class_weights=WEIGHTS,
    ),
    Case((64, 30, 10), "tanh", 1500, (("dropout", 0.3), ("smoothing", 0.1))),
)  # fmt: skip
CASES = (
    Case((784, 10), "identity", 128),
    Case((784, 10, 10), "relu", 128),
    Case((784, 25, 25, 10), "relu", 128, L2),
    Case((784, 128, 10), "tanh", 64),
    Case((784, 1000, 10), "tanh", 64, L2),
    Case((784, 800, 800, 10), "relu", 64),
    Case((784, 100, 50, 10), "identity", 64),
    Case((784, 100, 50, 10), "leaky_relu", 64, L2),
    Case((64, 48, 32, 16, 10), "elu", 64),
    Case((64, 48, 32, 16, 10), "sigmoid", 64, L2),
    Case((64, 48, 32, 16, 10), "softplus", 64),
    Case((64, 30, 10), "relu", 1500, L2),
    Case((37, 13, 7, 5), "relu", 17),
    Case((37, 13, 7, 5), "tanh", 17, L2),
    Case((1, 1, 2), "tanh", 1),
    *OPTIONAL,
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

    gradients: of the first batch
    one_step: after it
    three_steps: after all batches
    """

    case: Case
    layers: Layers
    images: Images
    epoch: Epoch
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
        layer._replace(bias=rng.normal(0, 0.1, layer.bias.shape).astype(dtype))
        for layer in model.layers
    ]
    n = 2 * case.batch + case.batch // 2 + 1
    pixels = rng.integers(0, 256, (n, case.sizes[0]), np.uint8)
    images = Images(pixels, rng.integers(0, case.sizes[-1], n))
    plain = Recipe(model.activations, 1 / 255, case.batch, seed=3)
    recipe = plain._replace(**dict(case.options))
    begun = _begun(case, widened(layers), PLAIN)
    order, three_steps = cleared(
        begun, images, rng.permutation(n), 0, 3, recipe, RATES, BEGIN
    )
    epoch, first = Epoch(order, RATES, BEGIN), order[: case.batch]
    return Problem(
        case,
        layers,
        images,
        epoch,
        recipe,
        steps.batch_sums(begun, images, first, BEGIN, recipe, PLAIN),
        steps.run_steps(begun, images, epoch, 0, 1, recipe, PLAIN),
        three_steps,
    )


def _begun(case: Case, layers: Layers, backend: Backend) -> State:
    """Return the state from which a case's steps begin; layers on the device."""
    optimizer = dict(case.options).get("optimizer", "sgd")
    return start(
        layers,
        backend,
        optimizer=optimizer,
        batch_norm=case.batch_norm,
        averaged=case.averaged,
    ).state


def worst_error(posed: Problem, backend: Backend) -> float:
    """Return the largest error of the backend's gradients, one step and three."""
    dtype = str(posed.layers[0].weight.dtype)
    begun = _begun(posed.case, to_device(posed.layers, backend), backend)
    before = on_host(begun, backend).layers
    images = Images(*(backend.from_numpy(array) for array in posed.images))
    epoch = posed.epoch._replace(order=backend.from_numpy(posed.epoch.order))
    recipe = posed.recipe
    index = epoch.order[: recipe.batch_size]
    sums = steps.batch_sums(begun, images, index, BEGIN, recipe, backend)
    found = errors(on_host(sums, backend), posed.gradients, dtype)
    worst = max(found.values())
    for last, expected in (1, posed.one_step), (3, posed.three_steps):
        state = _begun(posed.case, to_device(posed.layers, backend), backend)
        state = backend.run_steps(state, images, epoch, 0, last, recipe, backend)
        got = on_host(state, backend)
        found = errors(got, expected, dtype)
        found |= change_errors(before, got.layers, expected.layers, last)
        worst = max(worst, *found.values())
    return worst
