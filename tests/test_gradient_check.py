"""Every gradient against central differences, on every backend that is installed."""

from dataclasses import replace
from itertools import permutations, product
from typing import Any

import numpy as np
import pytest

from nnx import gradient_check
from nnx.backend import Backend
from nnx.gradient_check import DROPOUT, LOSSES, PENALTIES, Case, cases
from nnx.maths import activations, batch_norm, dense, losses
from nnx.maths.activations import ACTIVATIONS

BOUND = 1e-6
TITLES = {"smoothing": "smoothing 0.1", "class_weights": "class weights"}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients(activation: str, backend: Backend) -> None:
    """All cases of an activation; more tests than these would take longer to name."""
    chosen = [case for case in cases() if case.activation == activation]
    errors = {c.name: gradient_check.worst_error(c, backend) for c in chosen}
    assert len(errors) == len(chosen) > 70
    assert {name: e for name, e in errors.items() if not e < BOUND} == {}


def test_every_combination_is_a_case() -> None:
    names = {case.name for case in cases()}
    assert len(names) == len(cases())
    parts = product(ACTIVATIONS, LOSSES, PENALTIES, ("", "batch norm"), DROPOUT)
    for name, *rest in parts:
        assert ", ".join([name, "3 layers", *filter(None, rest)]) in names
    for name, depth in product(ACTIVATIONS, range(1, 5)):
        assert {f"{name}, {depth} layers", f"{name}, {depth} layers, l2 0.1"} <= names
    assert "gelu, 3 layers, batch norm, batch of one" in names


def wrong_cases(backend: Backend) -> list[Case]:
    return [c for c in cases() if gradient_check.worst_error(c, backend) > BOUND]


def test_a_wrong_gradient_is_found(
    monkeypatch: pytest.MonkeyPatch, reference: Backend
) -> None:
    wrong = ACTIVATIONS["tanh"]._replace(backward=activations.sigmoid_backward)
    monkeypatch.setitem(ACTIVATIONS, "tanh", wrong)
    expected = [c for c in cases() if c.activation == "tanh" and c.depth > 1]
    assert wrong_cases(reference) == expected


def test_a_wrong_gain_is_found(
    monkeypatch: pytest.MonkeyPatch, reference: Backend
) -> None:
    right = batch_norm.backward

    def wrong(*args: Any, **options: Any) -> Any:
        dz, dgain, dbias = right(*args, **options)
        return dz, dgain * (1 + 1e-4), dbias

    monkeypatch.setattr(batch_norm, "backward", wrong)
    chosen = "tanh, 3 layers, batch norm", "tanh, 3 layers"
    errors = [
        gradient_check.worst_error(case, reference)
        for name, case in product(chosen, cases())
        if case.name == name
    ]
    assert errors[0] > BOUND > errors[1]


def test_a_gradient_that_is_no_number_is_found(reference: Backend) -> None:
    def unfilled(*args: Any, **options: Any) -> Any:
        dx, dweight, dbias = dense.backward(*args, **options)
        return dx, dweight * np.nan, dbias

    backend = replace(reference, dense_backward=unfilled)
    assert gradient_check.worst_error(cases()[0], backend) == np.inf


def test_a_loss_that_is_not_the_reference_s_is_found(reference: Backend) -> None:
    def other(*args: Any, **options: Any) -> Any:
        loss, dlogits = losses.cross_entropy(*args, **options)
        return loss * (1 + 1e-11), dlogits

    backend = replace(reference, cross_entropy=other)
    assert gradient_check.worst_error(cases()[0], backend) == np.inf


def test_a_loss_that_forgets_an_option_is_found(reference: Backend) -> None:
    """Its gradient is not the one of what is minimized, with either option."""
    for kept, left in permutations(TITLES):

        def other(*args: Any, left: str = left, **options: Any) -> Any:
            return losses.cross_entropy(
                *args, **options | {left: type(options[left])()}
            )

        backend = replace(reference, cross_entropy=other)
        (case,) = (c for c in cases() if c.name == f"tanh, 3 layers, {TITLES[left]}")
        assert gradient_check.worst_error(case, backend) == np.inf
        (case,) = (c for c in cases() if c.name == f"tanh, 3 layers, {TITLES[kept]}")
        assert gradient_check.worst_error(case, backend) < BOUND
