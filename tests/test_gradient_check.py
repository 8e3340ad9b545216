"""Every gradient against central differences, on every backend that is installed."""

import math

import pytest

from nnx import gradient_check
from nnx.backend import Backend
from nnx.maths import activations
from nnx.maths.activations import ACTIVATIONS

BOUND = 1e-6


@pytest.mark.parametrize(
    ("activation", "depth", "l2"), gradient_check.cases(), ids=lambda value: str(value)
)
def test_gradient(activation: str, depth: int, l2: float, backend: Backend) -> None:
    error = gradient_check.worst_error(activation, depth, l2, backend)
    assert error < BOUND


def test_every_activation_depth_and_penalty_is_a_case() -> None:
    cases = {(a, d, bool(l2)) for a, d, l2 in gradient_check.cases()}
    assert cases == {
        (a, d, p) for a in ACTIVATIONS for d in range(1, 5) for p in (0, 1)
    }


def test_a_wrong_gradient_is_found(
    monkeypatch: pytest.MonkeyPatch, reference: Backend
) -> None:
    wrong = ACTIVATIONS["tanh"]._replace(backward=activations.sigmoid_backward)
    monkeypatch.setitem(ACTIVATIONS, "tanh", wrong)
    errors = [
        c.max_relative_error
        for c in gradient_check.gradcheck(reference)
        if "tanh" in c.case
    ]
    deep = [e for e in errors if not math.isclose(e, 0, abs_tol=BOUND)]
    assert len(deep) == 6  # depths 2 to 4, as one layer has no hidden activation
