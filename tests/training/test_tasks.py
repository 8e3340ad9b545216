"""Regression and several labels, from data to result, on every backend."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from nnx import Network, evaluate, train
from nnx.backend import Backend
from nnx.data.dataset import Column, Dataset, Frame, Split, Target
from nnx.errors import InputError
from nnx.training.log import from_csv

COLUMNS = tuple(Column(name, 0.0, 1.0) for name in "abcd")
TARGETS = Target("price", 200.0, 30.0), Target("age", 40.0, 5.0)
SETTINGS: dict[str, Any] = {
    "epochs": 30, "batch_size": 20, "optimizer": "adam", "learning_rate": 0.01,
}  # fmt: skip


def _values(targets: int, rows: int = 300) -> Dataset:
    """Return smooth functions of four columns, standardized, and a little noise."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 4)).astype(np.float32)
    clean = np.stack([np.sin(x[:, 0]) + x[:, 1], x[:, 2] * x[:, 3]], axis=1)
    y = clean + rng.normal(0, 0.1, clean.shape)
    y = ((y - y.mean(0)) / y.std(0)).astype(np.float32)[:, :targets]
    train, test = (Split(x[i::2], y[i::2]) for i in (0, 1))
    return Dataset(
        *("values", train, test, (), Frame(1, 4, 1, 0)),
        task="regression",
        columns=COLUMNS,
        targets=TARGETS[:targets],
    )


def _labels() -> Dataset:
    """Return three labels, each a half of the plane of two pixels."""
    rng = np.random.default_rng(0)
    x = rng.random((400, 4)).astype(np.float32)
    y = np.stack([x[:, 0] > 0.5, x[:, 1] > 0.5, x[:, 0] > x[:, 1]], axis=1)
    train, test = (Split(x[i::2], y[i::2].astype(np.uint8)) for i in (0, 1))
    frame = Frame(2, 2, 1, 2)
    return Dataset("halves", train, test, ("a", "b", "c"), frame, task="multilabel")


@pytest.mark.parametrize("targets", [1, 2])
@pytest.mark.parametrize("huber_delta", [0.0, 1.0])
def test_a_regression(targets: int, huber_delta: float, backend: Backend) -> None:
    data = _values(targets)
    network = Network([4, 30, 20, targets], "tanh")
    how = SETTINGS | {"huber_delta": huber_delta}
    result = train(network, data, backend=backend, **how)
    assert result.metric == "r2"
    assert result.test_score > 0.8
    true = data.test.labels * [t.scale for t in TARGETS[:targets]]
    true = true + [t.mean for t in TARGETS[:targets]]
    predicted = result.network.predict(data.test.images, backend=backend)
    assert predicted.shape == ((150,) if targets == 1 else (150, targets))
    wanted = metrics.r2_score(true, predicted)
    assert result.test_score == pytest.approx(wanted, abs=1e-5)
    found = evaluate(result.network, data, backend=backend, huber_delta=huber_delta)
    assert found.loss == pytest.approx(result.test_loss, rel=1e-5)
    assert found.score == pytest.approx(wanted, abs=1e-5)
    rmse = metrics.root_mean_squared_error(true, predicted, multioutput="raw_values")
    np.testing.assert_allclose(found.rmse, rmse, rtol=1e-4)
    assert list(result.history)[2] == "train_r2"


def test_several_labels(backend: Backend) -> None:
    data = _labels()
    result = train(Network([4, 30, 3]), data, backend=backend, **SETTINGS)
    predicted = result.network.predict(data.test.images, backend=backend)
    assert set(np.unique(predicted)) == {0, 1}
    wanted = metrics.accuracy_score(data.test.labels, predicted)
    assert result.test_accuracy == pytest.approx(wanted)
    assert wanted > 0.85
    chances = result.network.predict_proba(data.test.images, backend=backend)
    assert ((chances > 0.5) == predicted).all()
    loss = sum(
        metrics.log_loss(data.test.labels[:, i], chances[:, i]) for i in range(3)
    )
    found = evaluate(result.network, data, backend=backend)
    assert found.loss == pytest.approx(loss, rel=1e-5)
    np.testing.assert_allclose(
        found.precision,
        metrics.precision_score(data.test.labels, predicted, average=None),
    )
    np.testing.assert_allclose(
        found.recall, metrics.recall_score(data.test.labels, predicted, average=None)
    )


def test_a_run_in_two_parts_is_one_run(tmp_path: Path) -> None:
    """With what is shown of it: R² in the log and in the model's description."""
    data, network = _values(2), Network([4, 30, 2])
    how = SETTINGS | {"validation_fraction": 0.2, "patience": 50}
    whole = train(network, data, out=tmp_path / "whole", **how)
    train(network, data, out=tmp_path / "parts", **how | {"epochs": 7})
    train(network, data, out=tmp_path / "parts", resume=True, **how)
    models = [tmp_path / name / "model.safetensors" for name in ("whole", "parts")]
    assert models[0].read_bytes() == models[1].read_bytes()
    log = from_csv((tmp_path / "whole" / "log.csv").read_bytes(), "log")
    assert [row.metric for row in log] == ["r2"] * len(log)
    assert [row[:7] for row in log] == [row[:7] for row in whole.log]
    loaded = Network.load(tmp_path / "whole")
    assert (loaded.task, loaded.columns, loaded.targets) == (
        *("regression", COLUMNS, TARGETS),
    )
    with pytest.raises(AttributeError, match="no accuracy"):
        _ = whole.test_accuracy


def test_a_target_that_is_always_the_same_has_no_r2() -> None:
    data = _values(1)
    same = data.test._replace(labels=np.full_like(data.test.labels, 0.5))
    result = train(Network([4, 8, 1]), data._replace(test=same), epochs=1)
    assert result.test_score == 0.0


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.zeros((150, 3), np.float32), r"shape \(150, 2\)"),
        (np.zeros(150, np.float32), r"shape \(150, 2\)"),
        (np.full((150, 2), np.nan), "row 0 has nan as price"),
        (np.zeros((150, 2), object), "numbers"),
    ],
)
def test_targets_that_are_refused(labels: Any, words: str) -> None:
    data = _values(2)
    data = data._replace(train=data.train._replace(labels=labels))
    with pytest.raises(InputError, match=words):
        train(Network([4, 8, 2]), data)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"class_weights": (1.0, 2.0)}, "class_weights is for one class of many"),
        ({"label_smoothing": 0.1}, "label_smoothing is for one class of many"),
    ],
)
def test_settings_that_mean_nothing_here(settings: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        train(Network([4, 8, 2]), _values(2), **settings)
    with pytest.raises(InputError, match="huber_delta is for a regression"):
        train(Network([4, 8, 3]), _labels(), huber_delta=1.0)


@pytest.mark.parametrize("delta", [-1.0, "a", None, float("nan"), 1e-9])
def test_a_delta_that_is_none(delta: Any) -> None:
    """As in training, so when a network is tested by the loss that it learnt by."""
    network = train(Network([4, 8, 2]), _values(2), epochs=1).network
    for use in train, evaluate:
        with pytest.raises(InputError, match="huber_delta must be 0, or a number from"):
            use(network, _values(2), huber_delta=delta)
    labels = train(Network([4, 8, 3]), _labels(), epochs=1).network
    with pytest.raises(InputError, match="huber_delta is for a regression; halves is"):
        evaluate(labels, _labels(), huber_delta=1.0)


def test_what_does_not_fit_a_network() -> None:
    result = train(Network([4, 8, 2]), _values(2), epochs=1)
    with pytest.raises(InputError, match="no probabilities"):
        result.network.predict_proba(np.zeros((1, 4)))
    other = _values(2)._replace(targets=TARGETS[::-1])
    with pytest.raises(InputError, match="its targets are not those"):
        evaluate(result.network, other)
    with pytest.raises(InputError, match="2 targets"):
        train(Network([4, 8, 3]), _values(2))
