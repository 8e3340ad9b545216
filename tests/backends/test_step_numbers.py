"""The array of steps' hyperparameters is that of the records of `at_steps`."""

from typing import Any

import numpy as np
import pytest
from nnx_backends.step_numbers import step_numbers

from nnx.maths.hyperparameters import Hyperparameters, Schedule
from nnx.maths.schedules import at_steps

NAMES = "epsilon", "learning_rate", "l2", "momentum", "mean_correction", "ema_decay"
RECIPES: dict[str, dict[str, Any]] = {
    "cosine": {"schedule": Schedule("cosine", warmup=0.5)},
    "Adam": {"optimizer": "adam", "early_epsilon": True},
    "Adam and a dip": {"optimizer": "adam", "momentum_schedule": Schedule("dip")},
    "average": {"ema_decay": 0.99},
}


def recipe(**options: Any) -> Hyperparameters:
    common = {"l2": 0.1, "learning_rate": 0.3, "momentum": 0.9, "epochs": 4}
    return Hyperparameters(("relu", "identity"), 1 / 255, 8, **common | options)


@pytest.mark.parametrize("options", RECIPES.values(), ids=RECIPES)
def test_each_step_has_a_row(options: dict[str, Any]) -> None:
    hyper = recipe(**options)
    got = step_numbers(hyper, NAMES, 7, 30, 10)
    records = list(at_steps(hyper, 7, 30, 10))
    assert got.tolist() == [[getattr(at, name) for name in NAMES] for at in records]
    assert len(np.unique(got, axis=0)) > 20


@pytest.mark.parametrize("count", [0, 1, 30])
def test_one_row_is_for_all_steps_if_none_varies(count: int) -> None:
    hyper = recipe()
    got = step_numbers(hyper, NAMES, 7, count, 10)
    assert got.tolist() == [[getattr(hyper, name) for name in NAMES]]


def test_no_steps_have_no_rows_if_something_varies() -> None:
    assert step_numbers(recipe(ema_decay=0.9), NAMES, 7, 0, 10).shape == (0, len(NAMES))
