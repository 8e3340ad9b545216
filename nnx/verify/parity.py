"""Every backend compared with the reference: the plain maths in float64 on NumPy.

A backend may replace kernels, or whole training steps. Both are compared: the gradients
from its kernels, one step, and three steps of which the last is short, with every
option that a backend's own steps may implement. For a backend that replaces the steps
and no kernel, only the steps are compared: no run uses the gradients outside a step,
and a library that compiles each operation for each shape would need as much time again
for them. The gradient check covers those.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from nnx.backend import Backend, choose, usable
from nnx.maths import steps
from nnx.maths.arrays import Array, map_arrays, moved
from nnx.maths.descent import BatchResult
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.ops import Ops
from nnx.maths.state import Images, Layers, State, initial_state
from nnx.network import Network
from nnx.verify.cases import PARITY_CASES, Case
from nnx.verify.compare import BOUNDS, PLAIN, Agreement, change_errors, errors
from nnx.verify.kinks import steps_without_kinks

REFERENCE = "numpy float64"
EPOCH = 3  # steps
BEGIN = 2 * EPOCH  # steps taken before


class Problem(NamedTuple):
    """A problem for a backend, on the host, and the reference's results.

    gradients: of the first batch
    after: the state by the number of steps taken
    """

    layers: Layers
    images: Images
    order: Array
    hyper: Hyperparameters
    gradients: BatchResult
    after: dict[int, State]


def parity(*backends: str | Backend) -> list[Agreement]:
    """Return the errors of these backends, by default of all usable ones.

    Raises:
        BackendError: a backend cannot be used
    """
    return list(each_case([choose(each) for each in backends] or usable()[0]))


def each_case(backends: Sequence[Backend]) -> Iterator[Agreement]:
    """Yield the errors of these backends, case by case."""
    for case, (dtype, bound) in product(PARITY_CASES, BOUNDS.items()):
        posed = problem(case, dtype)
        for backend in backends:
            with backend.scope():
                error = worst_error(posed, backend)
            yield Agreement(backend.name, dtype, case.name, error, bound)


def problem(case: Case, dtype: str) -> Problem:
    """Return a case's network, images and reference results.

    The reference computes in float64 from parameters that are rounded to dtype, so only
    the computation differs.
    """
    rng = np.random.default_rng(case.sizes)
    layers = [
        layer._replace(bias=rng.normal(0, 0.1, layer.bias.shape).astype(dtype))
        for layer in Network(case.sizes, case.activation, seed=0, dtype=dtype).layers
    ]
    n, hyper = (EPOCH - 1) * case.batch + case.batch // 2 + 1, case.hyper
    pixels = rng.integers(0, 256, (n, case.sizes[0]), np.uint8)
    labels, weights = case.labels(n, rng)
    if labels.dtype.kind == "f":
        labels = labels.astype(dtype)
    images = Images(
        pixels, labels, weights if weights is None else weights.astype(dtype)
    )
    state = _begun(map_arrays(np.float64, layers), hyper, PLAIN)
    order, last = steps_without_kinks(state, images, rng.permutation(n), EPOCH, hyper)
    first = order[: case.batch]
    gradients = steps.batch_gradients(state, images, first, hyper, PLAIN)
    one = steps.run_steps(state, images, order, 1, hyper, PLAIN)
    return Problem(layers, images, order, hyper, gradients, {1: one, EPOCH: last})


def _begun(layers: Layers, hyper: Hyperparameters, ops: Ops) -> State:
    return initial_state(layers, hyper, ops)._replace(step=BEGIN)


def has_kernels(backend: Backend) -> bool:
    """Return whether a backend replaces any function in `Ops`."""
    return backend.ops != Ops(backend.xp)


def worst_error(posed: Problem, backend: Backend) -> float:
    """Return the largest error of a backend's gradients, one step and three steps."""
    hyper, dtype = posed.hyper, str(posed.layers[0].weight.dtype)
    images, order = moved((posed.images, posed.order), backend.from_numpy)

    def begun() -> State:
        return _begun(moved(posed.layers, backend.from_numpy), hyper, backend.ops)

    found = []
    if backend.own_steps is None or has_kernels(backend):
        first = order[: hyper.batch_size]
        got = steps.batch_gradients(begun(), images, first, hyper, backend.ops)
        found.append(errors(moved(got, backend.to_numpy), posed.gradients, dtype))
    before = moved(begun().layers, backend.to_numpy)
    for count, expected in posed.after.items():
        state = backend.run_steps(begun(), images, order, count, hyper)
        state = moved(state, backend.to_numpy)
        found.append(errors(state, expected, dtype))
        found.append(change_errors(before, state.layers, expected.layers, count))
    return max(max(each.values()) for each in found)
