"""The table of `nnx.parity`: what is in it, and that it finds what is wrong."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import nnx
from nnx.backend import Backend
from nnx.maths import dense, steps
from nnx.maths.activations import ACTIVATIONS
from nnx.maths.hyperparameters import CONSTANT, Hyperparameters
from nnx.maths.losses import LOSSES
from nnx.maths.optimizers import OPTIMIZERS
from nnx.maths.schedules import at_steps
from nnx.maths.state import Images, Layer, State
from nnx.verify import parity
from nnx.verify.cases import L2, PARITY_CASES, Case
from nnx.verify.compare import BOUNDS, PLAIN, change_errors, errors, relative_error

SMALL = (Case((20, 9, 7, 3), "relu", 16, L2),)
Kernel = Callable[..., Any]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "PARITY_CASES", SMALL)


def worst(backend: Backend) -> dict[str, float]:
    """Return the error for each dtype."""
    return {row.dtype: row.max_relative_error for row in nnx.parity(backend)}


def test_every_usable_backend_has_every_row(small: None) -> None:
    """All the cases are in the test of the command."""
    rows = nnx.parity()
    names = {row.backend for row in rows}
    assert {"numpy", "strict"} <= names
    assert len(rows) == len(names) * len(BOUNDS) * len(SMALL)
    assert [row for row in rows if not row.within_bound] == []


def test_float32_is_not_float64(reference: Backend, small: None) -> None:
    found = worst(reference)
    assert found["float64"] < 1e-14
    assert 1e-9 < found["float32"] < 1e-5


def test_the_table_has_every_activation_and_depth() -> None:
    missing = {*ACTIVATIONS} - {case.activation for case in PARITY_CASES}
    assert not missing, f"verify/cases.py: no case of parity has {missing}"
    assert {len(case.sizes) - 1 for case in PARITY_CASES} == {1, 2, 3, 4}
    assert len({case.name for case in PARITY_CASES}) == len(PARITY_CASES)


def plain(
    state: State, images: Images, order: Any, count: int, hyper: Hyperparameters
) -> State:
    """Take the plain steps, as a backend's own are called."""
    return steps.run_steps(state, images, order, count, hyper, PLAIN)


RIGHT = dense.backward


def scaled(*args: Any, **options: Any) -> Any:
    dx, dweight = RIGHT(*args, **options)
    return dx, dweight * (1 + 1e-4)


def wrong_images(dz: Any, *args: Any, **options: Any) -> Any:
    return RIGHT(np.roll(dz, 1, axis=0), *args, **options)


def wide_gradient(*args: Any, **options: Any) -> Any:
    dx, dweight = RIGHT(*args, **options)
    return dx, dweight.astype(np.longdouble)


@pytest.mark.parametrize(
    ("wrong", "seen"),
    [(scaled, 1e-5), (wrong_images, 1e-2), (wide_gradient, np.inf)],
)
def test_a_wrong_gradient_is_found(
    wrong: Kernel, seen: float, reference: Backend, small: None
) -> None:
    def own_steps(*args: Any) -> State:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(dense, "backward", wrong)
            return plain(*args)

    assert min(worst(replace(reference, own_steps=own_steps)).values()) >= seen


def test_a_wrong_shape_is_found(reference: Backend, small: None) -> None:
    def own_steps(*args: Any) -> State:
        after = plain(*args)
        layers = [layer._replace(bias=layer.bias[None, :]) for layer in after.layers]
        return after._replace(layers=layers)

    assert min(worst(replace(reference, own_steps=own_steps)).values()) == np.inf


def test_a_wrong_kernel_is_found(reference: Backend, small: None) -> None:
    def no_number(*args: Any, **options: Any) -> Any:
        return dense.forward(*args, **options) * np.nan

    ops = reference.ops._replace(dense_forward=no_number)
    assert min(worst(replace(reference, ops=ops)).values()) == np.inf


def test_a_wrong_kernel_beside_right_steps_is_found(
    reference: Backend, small: None
) -> None:
    """Its own steps may hand to it what they do not cover."""

    def longer(*args: Any) -> Any:
        return reference.ops.update(*args) * 1.01

    def wrong(*args: Any, **options: Any) -> Any:
        return dense.forward(*args, **options) * 1.01

    ops = reference.ops._replace(update=longer, dense_forward=wrong)
    assert min(worst(replace(reference, ops=ops, own_steps=plain)).values()) > 1e-3


def test_no_gradient_is_asked_of_steps_without_a_kernel(
    reference: Backend, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four are of the steps themselves."""
    asked, right = list[str](), steps.batch_gradients

    def gradients(*args: Any) -> Any:
        asked.append("gradients")
        return right(*args)

    bare = replace(reference, ops=PLAIN, own_steps=plain)
    kernel = PLAIN._replace(update=reference.ops.update)
    posed = [parity.problem(case, "float64") for case in SMALL]
    monkeypatch.setattr(steps, "batch_gradients", gradients)
    counts = []
    for backend in (bare, replace(bare, own_steps=None), replace(bare, ops=kernel)):
        asked.clear()
        assert max(parity.worst_error(each, backend) for each in posed) < 1e-12
        counts.append(len(asked))
    assert counts == [4, 5, 5]


def changed(**changes: Any) -> Kernel:
    """Return steps that change the state they are done with."""

    def own_steps(*args: Any) -> State:
        state = plain(*args)
        return state._replace(**{k: f(getattr(state, k)) for k, f in changes.items()})

    return own_steps


def without(**options: Any) -> Kernel:
    """Return steps that do not know some options."""

    def own_steps(*args: Any) -> State:
        *rest, hyper = args
        return plain(*rest, hyper._replace(**options))

    return own_steps


def longer_steps(*args: Any) -> State:
    *rest, hyper = args
    longer = hyper._replace(learning_rate=1.001 * hyper.learning_rate)
    return plain(*rest, longer)


def whole_batches_only(
    state: State, images: Images, order: Any, count: int, hyper: Hyperparameters
) -> State:
    count = min(count, len(order) // hyper.batch_size)
    return plain(state, images, order, count, hyper)._replace(step=state.step + count)


def other_bias(layers: list[Layer]) -> list[Layer]:
    return [*layers[:-1], layers[-1]._replace(bias=layers[-1].bias * (1 + 1e-4))]


def flat_weight(layers: list[Layer]) -> list[Layer]:
    return [layers[0]._replace(weight=layers[0].weight.ravel()), *layers[1:]]


@pytest.mark.parametrize(
    ("wrong", "seen"),
    [
        (without(l2=0.0), 1e-5),
        (longer_steps, 5e-4),
        (whole_batches_only, 1e-5),
        (changed(step=lambda step: step + 1), 1e-2),
        (changed(score_sum=lambda correct: correct + 1), 1e-2),
        (changed(score_sum=lambda correct: correct.astype(float)), np.inf),
        (changed(loss_sum=lambda loss: loss.astype(np.longdouble)), np.inf),
        (changed(layers=other_bias), 2e-5),
        (changed(layers=flat_weight), np.inf),
    ],
)
def test_wrong_steps_are_found(
    wrong: Kernel, seen: float, reference: Backend, small: None
) -> None:
    found = worst(replace(reference, own_steps=wrong))
    assert min(found.values()) > seen or seen == np.inf == min(found.values())


def stale(name: str) -> Kernel:
    """Return steps that forget what they did to a part of the state."""

    def own_steps(state: State, *args: Any) -> State:
        return plain(state, *args)._replace(**{name: getattr(state, name)})

    return own_steps


def one_by_one(at: Callable[[int, int], int]) -> Kernel:
    """Return steps whose numbers are those of another step."""

    def own_steps(
        state: State, images: Images, order: Any, count: int, hyper: Hyperparameters
    ) -> State:
        begin = state.step
        for i in range(count):
            index = order[i * hyper.batch_size : (i + 1) * hyper.batch_size]
            per_epoch = -(-len(order) // hyper.batch_size)
            (now,) = at_steps(hyper, at(begin, i), 1, per_epoch)
            state = steps.step(state, images, index, now, PLAIN)
        return state

    return own_steps


def new_run(state: State, *args: Any) -> State:
    """Draw what the run's first steps would have drawn."""
    after = plain(state._replace(step=0), *args)
    return after._replace(step=after.step + state.step)


EVERYTHING = max(PARITY_CASES, key=lambda case: len(case.options))._replace(
    sizes=(20, 9, 7, 3)
)


@pytest.mark.parametrize(
    "wrong",
    [
        stale("optimizer_state"),
        stale("running_stats"),
        stale("ema"),
        without(schedule=CONSTANT),
        without(momentum_schedule=CONSTANT),
        one_by_one(lambda begin, i: begin),
        new_run,
        without(optimizer="nesterov"),
        without(l1=0.0),
        without(weight_decay=0.0),
        without(clip_norm=0.0),
        without(max_norm=0.0),
        without(input_dropout=0.0),
        without(dropout=0.0),
        without(label_smoothing=0.0),
        without(class_weights=()),
        without(augment=None),
    ],
)
def test_steps_without_an_option_are_found(
    wrong: Kernel, reference: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parity, "PARITY_CASES", (EVERYTHING,))
    assert max(worst(reference).values()) < 1e-5
    found = worst(replace(reference, own_steps=wrong))
    assert min(found.values()) > 1e-3


def test_one_step_at_a_time_is_right(
    reference: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The steps that are wrong above are so for the numbers they take alone."""
    monkeypatch.setattr(parity, "PARITY_CASES", (EVERYTHING,))
    own = one_by_one(lambda begin, i: begin + i)
    assert max(worst(replace(reference, own_steps=own)).values()) < 1e-5


def test_every_hyperparameter_is_in_a_case() -> None:
    names = {name for case in PARITY_CASES for name, _ in case.options}
    # Of every case, and none of an option's.
    always = {
        "activations", "pixel_scale", "pixel_range", "image_shape", "batch_size",
        "epochs", "learning_rate", "momentum", "schedule", "momentum_schedule", "seed",
        "mean_correction", "square_correction",
    }  # fmt: skip
    missing = {*Hyperparameters._fields} - names - always
    assert not missing, f"verify/cases.py: no case of parity has {missing}"
    for option, every in ("optimizer", OPTIMIZERS), ("loss", LOSSES):
        found = {getattr(case.hyper, option) for case in PARITY_CASES}
        assert found == {*every}, f"verify/cases.py: not each {option} is in a case"


def test_the_error_is_relative_to_the_largest_entry() -> None:
    expected = np.array([0.0, -8.0, 4.0])
    assert relative_error(np.array([1.0, -8.0, 4.0]), expected, "float64") == 1 / 8
    assert relative_error(np.ones(2), np.zeros(2), "float64") == 1
    assert relative_error(np.zeros(2), np.zeros(2), "float64") == 0
    assert relative_error(expected, expected, "float32") == np.inf
    assert relative_error(expected, expected[:, None], "float64") == np.inf
    assert relative_error(expected * np.nan, expected, "float64") == np.inf


def test_the_error_of_a_sum_is_relative_to_its_terms() -> None:
    """The terms are what was there before a step, where that is larger."""
    before, expected = [np.array([-4.0])], [np.array([0.5])]
    got = [np.array([0.75])]
    assert errors(got, expected, "float64") == {".0": 0.5}
    assert errors(got, expected, "float64", before) == {".0": 0.25 / 4}
    assert errors(got, expected, "float64", [np.zeros(1)]) == {".0": 0.5}


def test_integers_are_compared_with_integers() -> None:
    assert relative_error(np.array(3, np.int32), np.array(4), "float64") == 1 / 4
    assert relative_error(3, 3, "float32") == 0
    assert relative_error(np.array(3.0), np.array(3), "float64") == np.inf
    assert relative_error(np.array(3), np.array(3.0), "float64") == np.inf


def test_a_change_is_held_to_its_own_size() -> None:
    """A change of 1e-4 that is a tenth too long is 1e-5 of the parameter."""
    before = [Layer(np.ones((1, 1), np.float32), np.ones(1, np.float32))]
    expected, got = (
        [Layer(np.full((1, 1), 1 + change), np.ones(1))] for change in (1e-4, 1.1e-4)
    )
    found = change_errors(before, got, expected, 1)
    assert found["change of .0.weight"] == pytest.approx(0.1, rel=0.1)
    assert found["change of .0.bias"] == 0
    one_digit = [Layer(got[0].weight, before[0].bias + np.finfo(np.float32).eps)]
    assert change_errors(before, one_digit, expected, 1) == found
    flat = [Layer(got[0].weight.ravel(), got[0].bias)]
    assert change_errors(before, flat, expected, 1)["change of .0.weight"] == np.inf
