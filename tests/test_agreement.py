"""The table of `nnx.parity`: what is in it, and that it finds what is wrong."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import nnx
from nnx import agreement
from nnx.agreement import BOUNDS, CASES, Case
from nnx.backend import Backend
from nnx.maths import dense, losses, steps
from nnx.maths.activations import ACTIVATIONS
from nnx.maths.network import Layer
from nnx.maths.optimizers import OPTIMIZERS, Rates
from nnx.maths.steps import Epoch, Images, Recipe, State
from nnx.reference import change_errors, clear, cleared, relative_error

SMALL = (Case((20, 9, 7, 3), "relu", 16, agreement.L2),)
Kernel = Callable[..., Any]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "CASES", SMALL)


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
    assert {case.activation for case in CASES} == set(ACTIVATIONS)
    assert {len(case.sizes) - 1 for case in CASES} == {1, 2, 3, 4}
    assert len({case.name for case in CASES}) == len(CASES)


def scaled_bias(*args: Any, **options: Any) -> Any:
    dx, dweight, dbias = dense.backward(*args, **options)
    return dx, dweight, dbias * (1 + 1e-4)


def wrong_mask(dy: Any, x: Any, y: Any, *args: Any, **options: Any) -> Any:
    return dense.backward(dy, x, np.roll(y, 1, axis=0), *args, **options)


def wide_gradient(*args: Any, **options: Any) -> Any:
    dx, dweight, dbias = dense.backward(*args, **options)
    return dx, dweight.astype(np.longdouble), dbias


def flat_bias(*args: Any, **options: Any) -> Any:
    dx, dweight, dbias = dense.backward(*args, **options)
    return dx, dweight, dbias[None, :]


def no_number(*args: Any, **options: Any) -> Any:
    loss, dlogits = losses.cross_entropy(*args, **options)
    return loss * np.nan, dlogits


@pytest.mark.parametrize(
    ("kernel", "wrong", "seen"),
    [
        ("dense_backward", scaled_bias, 1e-5),
        ("dense_backward", wrong_mask, 1e-2),
        ("dense_backward", wide_gradient, np.inf),
        ("dense_backward", flat_bias, np.inf),
        ("cross_entropy", no_number, np.inf),
    ],
)
def test_a_wrong_kernel_is_found(
    kernel: str, wrong: Kernel, seen: float, reference: Backend, small: None
) -> None:
    found = worst(replace(reference, **{kernel: wrong}))
    assert min(found.values()) >= seen


def changed(**changes: Any) -> Kernel:
    """Return steps that change the state they are done with."""

    def run_steps(*args: Any) -> State:
        state = steps.run_steps(*args)
        return state._replace(**{k: f(getattr(state, k)) for k, f in changes.items()})

    return run_steps


def no_penalty(state: State, images: Images, epoch: Epoch, *rest: Any) -> State:
    first, last, recipe, kernels = rest
    free = recipe._replace(l2=0.0)
    return steps.run_steps(state, images, epoch, first, last, free, kernels)


def longer_steps(state: State, images: Images, epoch: Epoch, *rest: Any) -> State:
    longer = [r._replace(learning_rate=r.learning_rate * 1.001) for r in epoch.rates]
    return steps.run_steps(state, images, epoch._replace(rates=longer), *rest)


def whole_batches_only(state: State, images: Images, epoch: Epoch, *rest: Any) -> State:
    first, last, recipe, kernels = rest
    last = min(last, len(epoch.order) // recipe.batch_size)
    return steps.run_steps(state, images, epoch, first, last, recipe, kernels)


def other_bias(layers: list[Layer]) -> list[Layer]:
    return [*layers[:-1], layers[-1]._replace(bias=layers[-1].bias * (1 + 1e-4))]


def flat_weight(layers: list[Layer]) -> list[Layer]:
    return [layers[0]._replace(weight=layers[0].weight.ravel()), *layers[1:]]


@pytest.mark.parametrize(
    ("wrong", "seen"),
    [
        (no_penalty, 1e-5),
        (longer_steps, 5e-4),
        (whole_batches_only, 1e-5),
        (changed(hits=lambda hits: hits + 1), 1e-2),
        (changed(hits=lambda hits: hits.astype(float)), np.inf),
        (changed(loss_sum=lambda loss: loss.astype(np.longdouble)), np.inf),
        (changed(layers=other_bias), 2e-5),
        (changed(layers=flat_weight), np.inf),
    ],
)
def test_wrong_steps_are_found(
    wrong: Kernel, seen: float, reference: Backend, small: None
) -> None:
    found = worst(replace(reference, run_steps=wrong))
    assert min(found.values()) > seen or seen == np.inf == min(found.values())


def stale(name: str) -> Kernel:
    """Return steps that forget what they did to a part of the state."""

    def run_steps(state: State, *args: Any) -> State:
        kept = {name: getattr(state, name)}
        return steps.run_steps(state, *args)._replace(**kept)

    return run_steps


def without(**options: Any) -> Kernel:
    """Return steps that do not know some options."""

    def run_steps(state: State, images: Images, *args: Any) -> State:
        *span, recipe, kernels = args
        return steps.run_steps(
            state, images, *span, recipe._replace(**options), kernels
        )

    return run_steps


def first_rates(state: State, images: Images, epoch: Epoch, *rest: Any) -> State:
    same = epoch._replace(rates=[epoch.rates[0]] * 3)
    return steps.run_steps(state, images, same, *rest)


def new_run(state: State, images: Images, epoch: Epoch, *rest: Any) -> State:
    return steps.run_steps(state, images, epoch._replace(begin=0), *rest)


EVERYTHING = max(CASES, key=lambda case: len(case.options))._replace(
    sizes=(20, 9, 7, 3), batch_norm=True
)


@pytest.mark.parametrize(
    "wrong",
    [
        stale("slots"),
        stale("moments"),
        stale("averages"),
        first_rates,
        new_run,
        without(optimizer="nesterov"),
        without(l1=0.0),
        without(weight_decay=0.0),
        without(clip_norm=0.0),
        without(max_norm=0.0),
        without(input_dropout=0.0),
        without(dropout=0.0),
        without(smoothing=0.0),
        without(class_weights=()),
    ],
)
def test_steps_without_an_option_are_found(
    wrong: Kernel, reference: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agreement, "CASES", (EVERYTHING,))
    assert max(worst(reference).values()) < 1e-5
    found = worst(replace(reference, run_steps=wrong))
    assert min(found.values()) > 1e-3


def test_every_option_of_a_recipe_is_a_case() -> None:
    names = {name for case in CASES for name, _ in case.options}
    plain = {"activations", "scale", "batch_size", "l2", "seed"}
    assert names | plain == set(Recipe._fields)
    found = {dict(case.options).get("optimizer", "sgd") for case in CASES}
    assert found == set(OPTIMIZERS)


def test_the_error_is_relative_to_the_largest_entry() -> None:
    expected = np.array([0.0, -8.0, 4.0])
    assert relative_error(np.array([1.0, -8.0, 4.0]), expected, np.float64) == 1 / 8
    assert relative_error(np.ones(2), np.zeros(2), np.float64) == 1
    assert relative_error(np.zeros(2), np.zeros(2), np.float64) == 0
    assert relative_error(expected, expected, np.float32) == np.inf
    assert relative_error(expected, expected[:, None], np.float64) == np.inf
    assert relative_error(expected * np.nan, expected, np.float64) == np.inf


def test_a_change_is_held_to_its_own_size() -> None:
    """A change of 1e-4 that is a tenth too long is 1e-5 of the parameter."""
    before = [Layer(np.ones((1, 1), np.float32), np.ones(1, np.float32))]
    expected, got = (
        [Layer(np.full((1, 1), 1 + change), np.ones(1))] for change in (1e-4, 1.1e-4)
    )
    found = change_errors(before, got, expected, 1)
    assert found["change of weight 0"] == pytest.approx(0.1, rel=0.1)
    assert found["change of bias 0"] == 0
    one_digit = [Layer(got[0].weight, before[0].bias + np.finfo(np.float32).eps)]
    assert change_errors(before, one_digit, expected, 1) == found
    flat = [Layer(got[0].weight.ravel(), got[0].bias)]
    assert change_errors(before, flat, expected, 1)["change of weight 0"] == np.inf


def test_an_image_at_a_kink_is_not_clear() -> None:
    """The hidden units are x and the logits ±x + (0, 1), so that 1/2 is a tie."""
    layers = [
        Layer(np.ones((1, 1)), np.zeros(1)),
        Layer(np.array([[1.0, -1.0]]), np.array([0.0, 1.0])),
    ]
    x = np.array([[0.0], [1.0], [-1.0], [1e-7], [-1e-7], [0.5], [0.5 + 1e-7]])
    good = clear(layers, x, ("identity", "identity"))
    assert good.tolist() == [False, True, True, False, False, False, False]


def test_an_image_at_a_kink_gives_its_place_to_another() -> None:
    layers = [Layer(np.array([[1.0, -1.0]]), np.zeros(2))]
    images = Images(np.array([[3.0], [0.0], [1.0]]), np.array([0, 0, 1]))
    recipe, still = Recipe(("identity",), 1.0, 2), [Rates(0.0)] * 2
    order, state = cleared(layers, images, np.array([1, 2, 0]), 0, 2, recipe, still)
    assert order.tolist() == [2, 2, 0]
    assert (state.hits, state.layers[0].weight.tolist()) == (1, [[1.0, -1.0]])
    with pytest.raises(ValueError, match="batch 1"):
        cleared(layers, images, np.array([0, 2, 1]), 0, 2, recipe, still)
