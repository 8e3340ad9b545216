"""When a run ends early, and which of its epochs it gives."""

from typing import Any

import numpy as np
import pytest

from nnx import Network, train
from nnx.backend import Backend
from nnx.data.dataset import Dataset
from nnx.maths.steps import Images, Recipe, State
from nnx.training.log import Row
from nnx.training.pace import Pace
from nnx.training.run import Position, Run


def a_run(backend: Backend, early_stopping: int) -> Run:
    none = Images(np.zeros((1, 1)), np.zeros(1, np.int64))
    recipe, paced = Recipe(("identity",), 1.0, 1), Pace(0.1, epochs=10)
    return Run(
        backend, none, none, recipe, 1.0, paced, 0, None, (1, 1), True, early_stopping
    )


def a_log(*held: tuple[float, float]) -> tuple[Row, ...]:
    """Return a log of these validation accuracies and losses."""
    return tuple(
        Row(i + 1, 1.0, 0.5, loss, accuracy, None, None, 0.0)
        for i, (accuracy, loss) in enumerate(held)
    )


@pytest.mark.parametrize(
    ("held", "ended"),
    [
        ([], False),
        ([(0.5, 1.0)], False),
        ([(0.5, 1.0), (0.4, 0.9)], False),
        ([(0.5, 1.0), (0.4, 0.9), (0.5, 1.0)], True),  # as good is no better
        ([(0.5, 1.0), (0.4, 0.9), (0.5, 0.9)], False),  # but for the loss
        ([(0.5, 1.0), (0.6, 0.9), (0.5, 0.9)], False),
        ([(0.5, 1.0), (0.6, 0.9), (0.5, 0.9), (0.6, 0.91)], True),
    ],
)
def test_two_epochs_without_a_better_one(
    held: list[tuple[float, float]], ended: bool, reference: Backend
) -> None:
    position = Position(State([], 0.0, 0), len(held), log=a_log(*held))
    assert a_run(reference, 2).is_done(position) == ended
    assert not a_run(reference, 0).is_done(position)


def test_the_last_epoch_ends_any_run(reference: Backend) -> None:
    for patience in (0, 20):
        position = Position(State([], 0.0, 0), 10, log=a_log((0.5, 1.0)))
        assert a_run(reference, patience).is_done(position)


SETTINGS: dict[str, Any] = {
    "batch_size": 16, "learning_rate": 1.0, "validation": 0.2, "early_stopping": 3,
    "seed": 1, "epochs": 60,
}  # fmt: skip


def test_the_best_epoch_s_network_is_given(data: Dataset, backend: Backend) -> None:
    # A third of the labels are wrong: nobody learns them but by heart.
    wrong = np.random.default_rng(0).permutation(data.train.labels)
    labels = np.where(np.arange(150) % 3 == 0, wrong, data.train.labels)
    data = data._replace(train=data.train._replace(labels=labels))
    network = Network([25, 7, 3], "tanh", seed=2)
    result = train(network, data, backend=backend, **SETTINGS)
    scores = [(row.validation_accuracy, -row.validation_loss) for row in result.log]
    best = scores.index(max(scores))
    assert len(scores) == best + 1 + 3 < 60
    assert not result.stopped
    assert (result.validation_accuracy, -result.validation_loss) == max(scores)
    assert all(row.test_loss is None for row in result.log)
    # A run of so many epochs, which ends with it, gives the same network.
    same = SETTINGS | {"epochs": best + 1, "early_stopping": 0}
    other = train(network, data, backend=backend, **same)
    for a, b in zip(result.network.layers, other.network.layers, strict=True):
        np.testing.assert_array_equal(a.weight, b.weight)
        np.testing.assert_array_equal(a.bias, b.bias)
