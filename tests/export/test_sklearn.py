"""scikit-learn's perceptrons predict the same as networks."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnx
from nnx.data.dataset import in_units
from nnx.errors import InputError

sklearn = pytest.importorskip("sklearn", reason="needs scikit-learn")


def _fitted(kind: str, x: Any, y: Any, *before: Any, **options: Any) -> Any:
    from sklearn import neural_network
    from sklearn.pipeline import make_pipeline

    options = {"hidden_layer_sizes": (9, 7), "max_iter": 8, "random_state": 0} | options
    mlp = getattr(neural_network, kind)(**options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return (make_pipeline(*before, mlp) if before else mlp).fit(x, y)


@pytest.mark.parametrize("activation", ["relu", "logistic", "tanh", "identity"])
@pytest.mark.parametrize("classes", [2, 3])
def test_classes(activation: str, classes: int, rng: np.random.Generator) -> None:
    x, y = rng.normal(0, 1, (90, 5)), np.array(["x", "y", "z"])[np.arange(90) % classes]
    mlp = _fitted("MLPClassifier", x, y, activation=activation)
    network = nnx.from_sklearn(mlp)
    assert network.classes == tuple(mlp.classes_)
    np.testing.assert_allclose(
        network.predict_proba(x), mlp.predict_proba(x), atol=1e-12
    )
    names = np.array(network.classes)[network.predict(x)]
    np.testing.assert_array_equal(names, mlp.predict(x))


def test_several_labels(rng: np.random.Generator) -> None:
    x, y = rng.normal(0, 1, (90, 5)), rng.integers(0, 2, (90, 3))
    mlp = _fitted("MLPClassifier", x, y)
    network = nnx.from_sklearn(mlp)
    assert network.task == "multilabel"
    np.testing.assert_allclose(
        network.predict_proba(x), mlp.predict_proba(x), atol=1e-12
    )
    np.testing.assert_array_equal(network.predict(x), mlp.predict(x))


@pytest.mark.parametrize("targets", [1, 2])
def test_values_and_a_scaler(targets: int, rng: np.random.Generator) -> None:
    from sklearn.preprocessing import StandardScaler

    x = rng.normal(1000, 30, (90, 5))
    y = (x[:, :targets] - 1000).squeeze()
    pipeline = _fitted("MLPRegressor", x, y, StandardScaler())
    network = nnx.from_sklearn(pipeline)
    features = pipeline[0].transform(x)
    np.testing.assert_allclose(
        network.predict(features), pipeline.predict(x), rtol=1e-9
    )
    scaler = pipeline[0]
    means = [(c.mean, c.scale) for c in network.columns]
    assert means == list(zip(scaler.mean_, scaler.scale_, strict=True))


def test_an_estimator_of_this_package(rng: np.random.Generator) -> None:
    from nnx.sklearn import MLPClassifier

    x, y = rng.normal(0, 1, (90, 5)), np.arange(90) % 3
    model = MLPClassifier((9,), "gelu", max_iter=3, batch_norm=True, ema_decay=0.9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(x, y)
    network = nnx.from_sklearn(model)
    np.testing.assert_allclose(
        network.predict_proba(x), model.predict_proba(x), atol=1e-12
    )


def test_pictures(tmp_path: Path) -> None:
    data = nnx.load("digits")
    mlp = _fitted("MLPClassifier", data.train.images / 16, data.train.labels)
    network = nnx.from_sklearn(mlp, data=data)
    network.save(tmp_path / "model.safetensors")
    loaded = nnx.Network.load(tmp_path / "model.safetensors")
    accuracy = mlp.score(data.test.images / 16, data.test.labels)
    assert nnx.evaluate(loaded, data).accuracy == pytest.approx(accuracy)
    by_name = nnx.from_sklearn(mlp, data="digits")
    assert by_name.classes == data.classes


@pytest.mark.parametrize("targets", [1, 2])
def test_values_of_pictures_are_in_the_targets_own_units(
    targets: int, tmp_path: Path, rng: np.random.Generator
) -> None:
    """A data set of numbers is learnt standardized; the estimator was not."""
    pixels = rng.integers(0, 256, (120, 36), np.uint8)
    values = np.stack([pixels[:, :5].sum(1) + 100.0, 1e-3 * pixels[:, 7]], axis=1)
    values = values[:, :targets].squeeze()
    data = nnx.dataset(pixels, values, task="regression")
    assert all(target.scale != 1.0 for target in data.targets)
    mlp = _fitted("MLPRegressor", pixels / 255, values, max_iter=200)
    network = nnx.from_sklearn(mlp, data=data)
    network.save(tmp_path / "model.safetensors")
    loaded = nnx.Network.load(tmp_path / "model.safetensors")
    predicted = mlp.predict(pixels / 255)
    np.testing.assert_allclose(loaded.predict(pixels), predicted, rtol=1e-9)
    known = in_units(data.test.labels, data.targets)
    wrong = mlp.predict(data.test.images / 255).reshape(known.shape) - known
    rmse = np.sqrt(np.mean(wrong**2, axis=0))
    np.testing.assert_allclose(nnx.evaluate(loaded, data).rmse, rmse, rtol=1e-5)


def test_what_is_not_taken(data: nnx.Dataset, rng: np.random.Generator) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    x, y = rng.normal(0, 1, (60, 25)), np.arange(60) % 3
    for estimator, words in (
        (LogisticRegression(), "LogisticRegression is no fitted MLPClassifier"),
        (MLPClassifier(), "MLPClassifier is no fitted"),
        (3, "int is no fitted"),
        (_fitted("MLPClassifier", x, y, MinMaxScaler()), "a StandardScaler alone"),
        (_fitted("MLPRegressor", x, y, loss="poisson"), "fitted with loss='poisson'"),
    ):
        with pytest.raises(InputError, match=words):
            nnx.from_sklearn(estimator)
    with pytest.raises(InputError, match="do not go together"):
        nnx.from_sklearn(_fitted("MLPClassifier", x, y, StandardScaler()), data=data)
    with pytest.raises(InputError, match="blobs has the classes a b c, the estimator"):
        nnx.from_sklearn(_fitted("MLPClassifier", x, y), data=data)
    mlp = _fitted("MLPClassifier", x, y)
    mlp.coefs_[0][0, 0] = np.inf
    with pytest.raises(InputError, match="weights that are not finite"):
        nnx.from_sklearn(mlp)
