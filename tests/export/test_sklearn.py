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


@pytest.mark.parametrize("labels", [2, 3])
def test_several_labels(labels: int, rng: np.random.Generator) -> None:
    x, y = rng.normal(0, 1, (90, 5)), rng.integers(0, 2, (90, labels))
    mlp = _fitted("MLPClassifier", x, y)
    network = nnx.from_sklearn(mlp)
    assert network.task == "multilabel"
    np.testing.assert_allclose(
        network.predict_proba(x), mlp.predict_proba(x), atol=1e-12
    )
    np.testing.assert_array_equal(network.predict(x), mlp.predict(x))


@pytest.mark.parametrize("with_mean", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("targets", [1, 2])
def test_values_and_a_scaler(
    targets: int, dtype: str, with_mean: bool, rng: np.random.Generator
) -> None:
    """The network takes what the pipeline does, unscaled."""
    from sklearn.preprocessing import StandardScaler

    x = rng.normal(1000, 30, (90, 5)).astype(dtype)
    y = (x[:, :targets] - 1000).squeeze()
    scaler = StandardScaler(with_mean=with_mean)
    pipeline = _fitted("MLPRegressor", x, y, scaler)
    network = nnx.from_sklearn(pipeline)
    expected, rtol = pipeline.predict(x), 1e-9 if dtype == "float64" else 2e-3
    np.testing.assert_allclose(network.predict(x), expected, rtol, 1e-3)
    # Of a table, nnx takes numbers in float32.
    by_features = network.predict(network.features(x))
    np.testing.assert_allclose(by_features, expected, 2e-3, 1e-3)


@pytest.mark.parametrize("scaler", ["passthrough", None])
def test_a_scaler_that_is_left_out(scaler: Any, rng: np.random.Generator) -> None:
    """A Pipeline then knows no names, though the columns have some."""
    pd = pytest.importorskip("pandas", reason="needs pandas")
    frame = pd.DataFrame(rng.normal(0, 1, (30, 2)), columns=["b", "a"])
    pipeline = _fitted("MLPClassifier", frame, np.arange(30) % 3, scaler)
    network, expected = nnx.from_sklearn(pipeline), pipeline.predict_proba(frame)
    given = network.predict_proba(frame[["a", "b"]])
    np.testing.assert_allclose(given, expected, atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"with_mean": False}, {"with_std": False}])
def test_classes_and_a_scaler(
    options: dict[str, bool], tmp_path: Path, rng: np.random.Generator
) -> None:
    pd = pytest.importorskip("pandas", reason="needs pandas")
    from sklearn.preprocessing import StandardScaler

    x = rng.normal([3, -20, 400], [1, 5, 90], (90, 3))
    frame, y = pd.DataFrame(x, columns=["a", "b", "c"]), np.arange(90) % 3
    frame.loc[y == 1, "b"] += 30
    x = frame.to_numpy()
    pipeline = _fitted("MLPClassifier", frame, y, StandardScaler(**options))
    nnx.from_sklearn(pipeline).save(tmp_path / "model.safetensors")
    network = nnx.Network.load(tmp_path / "model.safetensors")
    expected = pipeline.predict_proba(frame)
    for given, atol in (x, 1e-9), (frame, 1e-4), (frame[["c", "a", "b"]], 1e-4):
        np.testing.assert_allclose(network.predict_proba(given), expected, atol=atol)


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


@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 1e-4), ("float64", 1e-9)])
@pytest.mark.parametrize("targets", [1, 2])
def test_values_of_pictures_are_in_the_targets_own_units(
    targets: int, dtype: str, rtol: float, tmp_path: Path, rng: np.random.Generator
) -> None:
    """A data set of numbers is learnt standardized; the estimator was not."""
    pixels = rng.integers(0, 256, (120, 36), np.uint8)
    values = np.stack([pixels[:, :5].sum(1) + 100.0, 1e-3 * pixels[:, 7]], axis=1)
    values = values[:, :targets].squeeze()
    data = nnx.dataset(pixels, values, task="regression")
    assert all(target.scale != 1.0 for target in data.targets)
    x = (pixels / 255).astype(dtype)
    mlp = _fitted("MLPRegressor", x, values, max_iter=200)
    network = nnx.from_sklearn(mlp, data=data)
    network.save(tmp_path / "model.safetensors")
    loaded = nnx.Network.load(tmp_path / "model.safetensors")
    assert loaded.layers[-1].weight.dtype == dtype
    np.testing.assert_allclose(loaded.predict(pixels), mlp.predict(x), rtol=rtol)
    known = in_units(data.test.labels, data.targets)
    wrong = mlp.predict(data.test.images / 255).reshape(known.shape) - known
    rmse = np.sqrt(np.mean(wrong**2, axis=0))
    np.testing.assert_allclose(nnx.evaluate(loaded, data).rmse, rmse, rtol=1e-4)


def test_what_is_not_taken(data: nnx.Dataset, rng: np.random.Generator) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    x, y = rng.normal(0, 1, (60, 25)), np.arange(60) % 3
    for estimator, words in (
        (LogisticRegression(), "LogisticRegression is not a fitted MLPClassifier"),
        (MLPClassifier(), "MLPClassifier is not a fitted"),
        (3, "int is not a fitted"),
        (Pipeline([("a", "passthrough")]), "Pipeline is not a fitted"),
        (_fitted("MLPClassifier", x, y, MinMaxScaler()), "only a StandardScaler"),
        (_fitted("MLPRegressor", x, y, loss="poisson"), "fitted with loss='poisson'"),
        (_fitted("MLPClassifier", x, 0 * y), "fitted to one class alone"),
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
