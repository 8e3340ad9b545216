"""Every gradient against central differences, on every backend that is installed."""

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from nnx.backend import Backend
from nnx.maths import activations, batch_norm, losses
from nnx.maths.activations import ACTIVATIONS
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.state import State
from nnx.verify import gradients
from nnx.verify.cases import ADDED, COMBINED, Case, gradient_cases, union

BOUND = 1e-6
# Of an activation's cases, one in so many where each compiles its operations anew; each
# case of three activations' is then another.
SHARE = {"jax": 3, "cupy": 3}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients(activation: str, backend: Backend) -> None:
    """All cases of an activation; more tests than these would take longer to name."""
    cases = [case for case in gradient_cases() if case.activation == activation]
    share = SHARE.get(backend.name, 1)
    chosen = cases[list(ACTIVATIONS).index(activation) % share :: share]
    errors = {c.name: gradients.worst_error(c, backend) for c in chosen}
    assert len(errors) == len(chosen) > 70 // share
    assert {name: e for name, e in errors.items() if not e < BOUND} == {}


def _of(activation: str, depth: int, **options: Any) -> list[Case]:
    """Return the cases of these options, and no others, in any order."""
    return [
        case
        for case in gradient_cases()
        if (case.activation, len(case.sizes) - 1) == (activation, depth)
        and dict(case.options) == options
        and case.batch > 1
        and not case.weighted
    ]


def test_every_combination_is_a_case() -> None:
    assert len({case.name for case in gradient_cases()}) == len(gradient_cases())
    for name, taken in product(ACTIVATIONS, product((False, True), repeat=6)):
        chosen = [o for o, t in zip(COMBINED, taken, strict=True) if t]
        assert len(_of(name, 3, **union(*chosen))) == 1
    for name, added in product(ACTIVATIONS, ADDED):
        assert len(_of(name, 3, **added)) == 1
        assert len(_of(name, 3, **union(*COMBINED, added))) == 1
    for name, depth in product(ACTIVATIONS, range(1, 5)):
        assert len(_of(name, depth)) == len(_of(name, depth, l2=0.1)) == 1
    alone = [case for case in gradient_cases() if case.batch == 1]
    assert {(c.activation, len(c.sizes) - 1) for c in alone} == set(
        product(ACTIVATIONS, (2, 3))
    )
    assert {c.options for c in alone} == {(("batch_norm", True),)}


def test_every_hyperparameter_that_the_gradient_depends_on_is_in_a_case() -> None:
    names = {name for case in gradient_cases() for name, _ in case.options}
    always = {
        "activations", "pixel_scale", "pixel_range", "image_shape", "batch_size", "seed"
    }  # fmt: skip
    of_the_step = {
        "epochs", "optimizer", "learning_rate", "momentum", "beta2", "schedule",
        "momentum_schedule", "weight_decay", "clip_norm", "max_norm", "ema_decay",
        "mean_correction", "square_correction", "epsilon", "early_epsilon",
    }  # fmt: skip
    assert names | always | of_the_step == set(Hyperparameters._fields)


@pytest.mark.parametrize("options", [*COMBINED, *ADDED], ids=str)
def test_an_option_changes_what_is_minimized(options: dict[str, Any]) -> None:
    """Or a case of it would be one without it."""
    (case,) = _of("tanh", 3, **options)
    (plain,) = _of("tanh", 3)
    assert abs(gradients.problem(case).loss - gradients.problem(plain).loss) > 1e-3


def wrong_cases(backend: Backend) -> list[Case]:
    return [c for c in gradient_cases() if gradients.worst_error(c, backend) > BOUND]


def test_a_wrong_gradient_is_found(
    monkeypatch: pytest.MonkeyPatch, reference: Backend
) -> None:
    wrong = ACTIVATIONS["tanh"]._replace(backward=activations.sigmoid_backward)
    monkeypatch.setitem(ACTIVATIONS, "tanh", wrong)
    deep = [c for c in gradient_cases() if len(c.sizes) > 2]
    assert wrong_cases(reference) == [c for c in deep if c.activation == "tanh"]


def test_a_wrong_gamma_is_found(
    monkeypatch: pytest.MonkeyPatch, reference: Backend
) -> None:
    right = batch_norm.backward

    def wrong(*args: Any, **options: Any) -> Any:
        dz, dgamma, dbias = yield from right(*args, **options)
        return dz, dgamma * (1 + 1e-4), dbias

    monkeypatch.setattr(batch_norm, "backward", wrong)
    (normed,), (plain,) = _of("tanh", 3, batch_norm=True), _of("tanh", 3)
    assert gradients.worst_error(normed, reference) > BOUND
    assert gradients.worst_error(plain, reference) < BOUND


def test_a_gradient_that_is_no_number_is_found(reference: Backend) -> None:
    def unfilled(*args: Any) -> State:
        after = reference.run_steps(*args)
        layers = [
            layer._replace(weight=layer.weight * np.nan) for layer in after.layers
        ]
        return after._replace(layers=layers)

    backend = replace(reference, own_steps=unfilled)
    assert gradients.worst_error(gradient_cases()[0], backend) == np.inf


def _with_loss(monkeypatch: pytest.MonkeyPatch, case: Case, wrong: Any) -> None:
    """Have a case's gradient, and not the differences, be of a wrong loss."""
    gradients.problem(case)  # which is made once
    other = losses.LOSSES["cross_entropy"]._replace(per_sample=wrong)
    monkeypatch.setitem(losses.LOSSES, "cross_entropy", other)


def test_a_loss_that_is_not_the_reference_s_is_found(
    reference: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = losses.cross_entropy

    def other(*args: Any, **options: Any) -> Any:
        loss, dlogits = right(*args, **options)
        return loss * (1 + 1e-11), dlogits

    _with_loss(monkeypatch, gradient_cases()[0], other)
    assert gradients.worst_error(gradient_cases()[0], reference) == np.inf


@pytest.mark.parametrize(
    ("forgotten", "known"),
    [
        ({"label_smoothing": 0.1}, {"class_weights": (0.5, 1.0, 2.0)}),
        ({"class_weights": (0.5, 1.0, 2.0)}, {"label_smoothing": 0.1}),
    ],
)
def test_a_loss_that_forgets_an_option_is_found(
    forgotten: dict[str, Any],
    known: dict[str, Any],
    reference: Backend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its gradient is not the one of what is minimized."""
    right = losses.cross_entropy
    (name,) = forgotten

    def other(*args: Any, **options: Any) -> Any:
        return right(*args, **options | {name: type(options[name])()})

    (case,), (fine,) = _of("tanh", 3, **forgotten), _of("tanh", 3, **known)
    gradients.problem(fine)
    _with_loss(monkeypatch, case, other)
    assert gradients.worst_error(case, reference) == np.inf
    assert gradients.worst_error(fine, reference) < BOUND
