"""The kernel of many steps: right, the same in any order, and no barrier needless."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from nnx_backends.cupy_gpu import plan, self_test, source, steps

import cuda_on_cpu
from cuda_on_cpu.proof import deletions, in_every_order
from nnx import find
from nnx.backend import Backend
from nnx.maths.arrays import moved, named_arrays
from nnx.maths.hyperparameters import Distortion
from nnx.maths.state import Parameters, State, initial_state
from nnx.verify.cases import Case
from nnx.verify.compare import BOUNDS, errors
from nnx.verify.parity import BEGIN, EPOCH, Problem, problem

pytestmark = pytest.mark.gpu
WHOLE = source.source("")


def case(*sizes: int, batch: int, activation: str = "relu", **options: Any) -> Case:
    weighted = options.pop("weighted", False)
    return Case(sizes, activation, batch, tuple(options.items()), weighted)


# The last batch of each is a little more than half. Together they have all barriers.
CASES = {
    "plain": case(37, 13, 7, 5, batch=17),
    "normalized": case(
        *(36, 70, 12, 3), batch=23, activation="gelu",
        batch_norm=True, dropout=0.3, optimizer="momentum",
    ),
    "clipped": case(
        *(37, 40, 5), batch=33, activation="elu", weighted=True, clip_norm=0.1,
        max_norm=1.0, ema_decay=0.9, input_dropout=0.2, loss="huber", huber_delta=1.35,
    ),
    "widths of one": case(1, 1, 1, 2, batch=1, activation="tanh"),
    "distorted": case(
        36, 20, 3, batch=9, augment=Distortion(rotation=20, elastic=2), input_noise=0.1
    ),
    "patches of sixteen tiles": case(45, 400, 3, batch=97),
    "outputs by tiles": case(
        37, 13, 40, batch=17, activation="gelu", weighted=True, dropout=0.3,
        batch_norm=True, class_weights=tuple(range(1, 41)), label_smoothing=0.1,
    ),
    "no hidden layer": case(36, 70, batch=33, loss="squared_error", clip_norm=0.1),
}  # fmt: skip
WIDE = {
    "1100": case(45, 1100, 10, batch=40, activation="tanh", l2=0.01),
    "images": case(784, 70, 33, 10, batch=128, class_weights=tuple(range(1, 11))),
    "adam": case(
        64, 65, 10, batch=31, optimizer="adam", beta2=0.99, label_smoothing=0.1
    ),
    "1000 outputs": case(17, 20, 1000, batch=40, loss="binary_cross_entropy"),
    "large batches": case(
        20, 9, 3, batch=1100, dropout=0.3, loss="squared_error", weighted=True
    ),
    "2000 units": case(17, 2000, 3, batch=33, optimizer="momentum"),
}
EVERY = [
    *(pytest.param(case, id=name) for name, case in CASES.items()),
    *(pytest.param(c, id=name, marks=pytest.mark.sweep) for name, c in WIDE.items()),
]


@pytest.fixture
def backend(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Backend]:
    if not request.config.getoption("emulated"):
        pytest.skip("of an emulated device: --emulated")
    # Here what is wrong is to be seen.
    monkeypatch.setattr(self_test.SelfTest, "passed", lambda *arguments: True)
    yield find("cupy")
    steps._kernel.cache_clear()  # they may be of another source


def take(posed: Problem, backend: Backend, count: int = EPOCH) -> State:
    images, order = moved((posed.images, posed.order), backend.from_numpy)
    layers = moved(posed.layers, backend.from_numpy)
    state = initial_state(layers, posed.hyper, backend.ops)._replace(step=BEGIN)
    return backend.run_steps(state, images, order, count, posed.hyper)


def runner(
    posed: Problem, backend: Backend, patch: pytest.MonkeyPatch
) -> Callable[[str], Sequence[Any]]:
    """Return a function that takes an epoch by another source, to the host's arrays."""

    def run(text: str) -> Sequence[Any]:
        patch.setattr(steps, "source", lambda constants: constants + text)
        steps._kernel.cache_clear()
        after = moved(take(posed, backend), backend.to_numpy)
        return [np.asarray(array) for _, array in named_arrays(after, "state")]

    return run


@pytest.mark.parametrize("case", EVERY)
def test_right_and_the_same_in_every_order(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, case: Case
) -> None:
    posed = problem(case, "float32")
    in_every_order(runner(posed, backend, monkeypatch), WHOLE)
    cuda_on_cpu.reset()
    got = moved(take(posed, backend), backend.to_numpy)
    assert "train" in cuda_on_cpu.launched()
    assert max(errors(got, posed.after[EPOCH], "float32").values()) < BOUNDS["float32"]


def of_a_small_card(layers: Parameters, batch: int, room: int) -> list[plan.Plan]:
    """Return the plans for 99 kB of shared memory, as an RTX has."""
    return plan.plans(layers, batch, 99 * 1024)


def of_a_large_batch(layers: Parameters, batch: int, room: int) -> list[plan.Plan]:
    """Return the plans whose order of images is not in shared memory."""
    return [own for own in plan.plans(layers, batch, room) if not own.order_shared]


@pytest.mark.sweep
@pytest.mark.parametrize("plans", [of_a_small_card, of_a_large_batch])
@pytest.mark.parametrize("case", EVERY)
def test_other_plans(
    backend: Backend,
    monkeypatch: pytest.MonkeyPatch,
    case: Case,
    plans: Callable[..., list[plan.Plan]],
) -> None:
    monkeypatch.setattr(steps, "plans", plans)
    test_right_and_the_same_in_every_order(backend, monkeypatch, case)


@pytest.mark.sweep
@pytest.mark.parametrize("processors", [1, 2, 132])
@pytest.mark.usefixtures("backend")
def test_on_few_and_many_processors(processors: int) -> None:
    """In a process of its own, as CuPy asks a device but once."""
    tests = [f"{__file__}::{test_right_and_the_same_in_every_order.__name__}"]
    words = "-q", "-n0", "-mgpu", "--emulated"
    command = [sys.executable, "-m", "pytest", *words, *tests]
    environment = os.environ | {"EMU_MULTIPROCESSORS": str(processors)}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout


@pytest.mark.sweep
def test_every_barrier_is_needed(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [
        runner(problem(case, "float32"), backend, monkeypatch)
        for case in CASES.values()
    ]
    barriers = deletions(runs, WHOLE)
    assert len(barriers) > 15
    assert [barrier for barrier in barriers if not barrier.caught] == []
