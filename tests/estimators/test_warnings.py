"""Warnings of fits that ended early: they lose nothing, and name the user's line."""

import warnings
from typing import Any

import numpy as np
import pytest
from iris_data import X, Y, fitted
from sklearn.exceptions import ConvergenceWarning

from nnx.sklearn import MLPClassifier, stochastic

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_warning_that_is_an_error_loses_nothing(
    solver: str, early_stopping: bool
) -> None:
    options = {"solver": solver, "early_stopping": early_stopping, "max_iter": 3}
    model = MLPClassifier(random_state=0, **options)
    with (
        warnings.catch_warnings(action="error", category=ConvergenceWarning),
        pytest.raises(ConvergenceWarning),
    ):
        model.fit(X, Y)
    same_fit(model, fitted(**options))


def test_an_interrupt_s_warning_that_is_an_error_loses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = fitted(max_iter=3)
    interrupt_after(3, monkeypatch)
    model = MLPClassifier(random_state=0)
    with (
        warnings.catch_warnings(action="error"),
        pytest.raises(UserWarning, match="interrupted by user"),
    ):
        model.fit(X, Y)
    same_fit(model, expected)


def same_fit(model: MLPClassifier, expected: MLPClassifier) -> None:
    for name in "coefs_", "intercepts_":
        for got, wanted in zip(
            getattr(model, name), getattr(expected, name), strict=True
        ):
            np.testing.assert_array_equal(got, wanted)
    assert (model.n_iter_, model.loss_) == (expected.n_iter_, expected.loss_)


def interrupt_after(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupt training after some epochs."""
    left, epoch = iter(range(count)), stochastic.epoch

    def interrupted(*args: Any) -> Any:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return epoch(*args)

    monkeypatch.setattr(stochastic, "epoch", interrupted)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_warning_names_the_line_that_fits(
    solver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = MLPClassifier(solver=solver, max_iter=3, random_state=0)
    with pytest.warns(ConvergenceWarning, match="onverge") as told:
        model.fit(X, Y)
    assert [warning.filename for warning in told] == [__file__]
    if solver == "lbfgs":
        return
    interrupt_after(1, monkeypatch)
    with pytest.warns(UserWarning, match="interrupted by user") as told:
        model.fit(X, Y)
    assert [warning.filename for warning in told] == [__file__]


def test_a_part_need_not_converge() -> None:
    with warnings.catch_warnings(action="error"):
        MLPClassifier().partial_fit(X, Y, classes=[0, 1, 2])
