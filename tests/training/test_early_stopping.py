"""When a run ends early, and which epoch's model it then has."""

from typing import Any

import numpy as np
import pytest
from bits import assert_same_bits

from nnx import Network, train
from nnx.backend import Backend
from nnx.data.dataset import Dataset
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.state import Images, State
from nnx.training.log import Row
from nnx.training.plan import Part, Plan, Position


def plan_with(backend: Backend, patience: int) -> Plan:
    none = Images(np.zeros((1, 1)), np.zeros(1, np.int64))
    hyper = Hyperparameters(("identity",), 1.0, 1, epochs=10)
    part = Part(none, 1.0)
    return Plan(backend, none, part, hyper, has_validation=True, patience=patience)


def position_after(*scores: tuple[float, float]) -> Position:
    """Return the position after epochs of one step with these validation scores.

    scores: the accuracy and the loss of each epoch
    """
    log = [
        Row(i + 1, 1.0, 0.5, loss, accuracy, None, None, 0.0)
        for i, (accuracy, loss) in enumerate(scores)
    ]
    return Position(State(len(log), [], 0.0, 0), log=tuple(log))


@pytest.mark.parametrize(
    ("scores", "ended"),
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
    scores: list[tuple[float, float]], ended: bool, reference: Backend
) -> None:
    position = position_after(*scores)
    assert plan_with(reference, 2).is_done(position) == ended
    assert not plan_with(reference, 0).is_done(position)


def test_the_last_epoch_ends_any_run(reference: Backend) -> None:
    for patience in (0, 20):
        plan = plan_with(reference, patience)
        assert not plan.is_done(position_after(*[(0.5, 1.0)] * 9))
        assert plan.is_done(position_after(*[(0.5, 1.0)] * 10))


SETTINGS: dict[str, Any] = {
    "batch_size": 16, "learning_rate": 1.0, "validation_fraction": 0.2, "patience": 3,
    "seed": 1, "epochs": 60,
}  # fmt: skip


def test_the_best_epoch_s_network_is_given(data: Dataset, backend: Backend) -> None:
    # A third of the labels are wrong: nobody learns them but by heart.
    wrong = np.random.default_rng(0).permutation(data.train.labels)
    labels = np.where(np.arange(150) % 3 == 0, wrong, data.train.labels)
    data = data._replace(train=data.train._replace(labels=labels))
    network = Network([25, 7, 3], "tanh", seed=2)
    result = train(network, data, backend=backend, **SETTINGS)
    scores = [(row.validation_score, -row.validation_loss) for row in result.log]
    best = scores.index(max(scores))
    assert len(scores) == best + 1 + 3 < 60
    assert not result.stopped
    assert (result.validation_accuracy, -result.validation_loss) == max(scores)
    assert all(row.test_loss is None for row in result.log)
    # A run of so many epochs, which ends with it, gives the same network.
    same = SETTINGS | {"epochs": best + 1, "patience": 0}
    other = train(network, data, backend=backend, **same)
    assert_same_bits(result.network.layers, other.network.layers)
