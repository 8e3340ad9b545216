"""The same numbers as scikit-learn's perceptrons, from the same parameters."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.neural_network as theirs
from sklearn import datasets
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import MinMaxScaler, StandardScaler, scale
from sklearn.utils import get_tags

import nnx.sklearn as ours

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
)
Array = Any


def classes(load: Any) -> tuple[Array, Array]:
    x, y = load(return_X_y=True)
    return StandardScaler().fit_transform(x), y


def values() -> tuple[Array, Array]:
    x, y = datasets.load_diabetes(return_X_y=True)
    return scale(x), scale(y)


def several() -> tuple[Array, Array]:
    return datasets.make_multilabel_classification(n_samples=300, random_state=0)


def targets() -> tuple[Array, Array]:
    x, y = datasets.make_regression(300, n_targets=3, random_state=0)
    return x, scale(y)


def both(kind: str, **options: Any) -> tuple[Any, Any]:
    """Return scikit-learn's estimator and this package's, of the same parameters."""
    options = {"max_iter": 20, "random_state": 0} | options
    return getattr(theirs, kind)(**options), getattr(ours, kind)(**options)


def close(a: Any, b: Any, at_most: float = 1e-9) -> None:
    for name in "coefs_", "intercepts_":
        for wanted, got in zip(getattr(a, name), getattr(b, name), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=0, atol=at_most)
    assert (b.n_iter_, b.n_layers_, b.n_outputs_) == (
        a.n_iter_, a.n_layers_, a.n_outputs_,
    )  # fmt: skip
    assert b.out_activation_ == a.out_activation_
    assert (b.t_, b.n_features_in_) == (a.t_, a.n_features_in_)


@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
def test_the_same_parameters_limits_and_tags(kind: str) -> None:
    a, b = both(kind)
    assert a.get_params().items() <= b.get_params().items()
    for name in a.get_params().keys() - {"activation", "loss"}:  # there are more of
        wanted, got = (each._parameter_constraints[name] for each in (a, b))
        assert {*map(str, got)} == {*map(str, wanted)}, name
    assert get_tags(b) == replace(get_tags(a), array_api_support=True)


CLASSIFIED = {
    "adam": {},
    "sgd": {"solver": "sgd", "learning_rate_init": 0.1},
    "momentum": {"solver": "sgd", "nesterovs_momentum": False},
    "no momentum": {"solver": "sgd", "momentum": 0.0},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", "power_t": 0.3},
    "adaptive": {
        "solver": "sgd", "learning_rate": "adaptive", "tol": 1.0,
        "n_iter_no_change": 2,
    },
    "adaptive, but not adam": {
        "learning_rate": "adaptive", "tol": 1.0, "n_iter_no_change": 2,
    },
    "restless": {
        "solver": "sgd", "learning_rate_init": 0.5, "batch_size": 10, "alpha": 0.0,
    },
    "alpha": {"alpha": 3.0, "batch_size": 17},
    "early stopping": {"early_stopping": True, "n_iter_no_change": 3},
    "large tol": {"early_stopping": True, "n_iter_no_change": 9, "tol": 0.5},
    "epsilon": {"epsilon": 1e-3, "beta_1": 0.8, "beta_2": 0.99},
    "unshuffled": {"shuffle": False, "activation": "tanh"},
    "deep": {"hidden_layer_sizes": (30, 20, 10), "activation": "logistic"},
    "lbfgs": {"solver": "lbfgs", "max_iter": 5},
    "few calls": {"solver": "lbfgs", "max_fun": 7},
    "lbfgs, large tol": {"solver": "lbfgs", "tol": 0.05},
}  # fmt: skip


@pytest.mark.parametrize("options", CLASSIFIED.values(), ids=CLASSIFIED)
@pytest.mark.parametrize("number", [2, 3])
def test_the_same_weights(number: int, options: dict[str, Any]) -> None:
    x, y = classes(datasets.load_iris)
    x, y = x[y < number], y[y < number]
    a, b = (each.fit(x, y) for each in both("MLPClassifier", **options))
    close(a, b)
    np.testing.assert_array_equal(b.predict(x), a.predict(x))
    np.testing.assert_allclose(b.predict_proba(x), a.predict_proba(x), atol=1e-9)
    if a.solver != "lbfgs":
        # The penalty is of an epoch's first and last weights, and not of each step's.
        near = 0.02 if options.get("alpha") else 1e-4
        np.testing.assert_allclose(b.loss_curve_, a.loss_curve_, rtol=near)
        assert b.best_loss_ == (a.best_loss_ and pytest.approx(a.best_loss_, rel=near))
        assert b.validation_scores_ == a.validation_scores_
        assert b.best_validation_score_ == a.best_validation_score_


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
@pytest.mark.parametrize("data", [values, targets])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_the_same_regression(loss: str, data: Any, early_stopping: bool) -> None:
    x, y = data()
    y = y - y.min() if loss == "poisson" else y
    options = {"loss": loss, "early_stopping": early_stopping}
    a, b = (each.fit(x, y) for each in both("MLPRegressor", **options))
    close(a, b)
    np.testing.assert_allclose(b.loss_curve_, a.loss_curve_, rtol=1e-4)
    np.testing.assert_allclose(b.predict(x), a.predict(x), atol=1e-8)
    assert b.score(x, y) == pytest.approx(a.score(x, y))


@pytest.mark.parametrize("data", [values, targets])
def test_the_loss_of_lbfgs_is_a_mean_over_outputs(data: Any) -> None:
    """scikit-learn's too, but its slopes are those of the sum, so weights differ."""
    x, y = data()
    options = {"solver": "lbfgs", "alpha": 10.0, "max_iter": 3}
    _, model = both("MLPRegressor", hidden_layer_sizes=(), **options)
    model.fit(x, y)
    penalty = 5.0 * np.sum(model.coefs_[0] ** 2) / len(x)
    wanted = 0.5 * np.mean((y - model.predict(x)) ** 2) + penalty
    assert model.loss_ == pytest.approx(wanted, rel=1e-9)
    model.set_params(loss="huber", huber_delta=1e9).fit(x, y)
    assert model.loss_ == pytest.approx(wanted, rel=1e-9)


def test_the_same_labels() -> None:
    x, y = several()
    a, b = (each.fit(x, y) for each in both("MLPClassifier", solver="sgd"))
    close(a, b)
    np.testing.assert_array_equal(b.predict(x), a.predict(x))
    np.testing.assert_allclose(b.predict_proba(x), a.predict_proba(x), atol=1e-9)
    np.testing.assert_array_equal(b.classes_, a.classes_)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_the_same_by_weighted_samples(solver: str) -> None:
    x, y = classes(datasets.load_iris)
    weights = np.random.default_rng(0).integers(0, 4, len(y)).astype(float)
    pair = both("MLPClassifier", solver=solver, max_iter=5, batch_size=40, alpha=1.0)
    a, b = (each.fit(x, y, sample_weight=weights) for each in pair)
    close(a, b, 1e-8)


@pytest.mark.parametrize("number", [1, 2, 3, 5])
def test_the_same_scores_by_weighted_samples(number: int) -> None:
    """Of a validation set of values, of two classes, of three, or of five labels."""
    x, y = {1: values, 5: several}.get(number, lambda: classes(datasets.load_iris))()
    if number == 2:
        x, y = x[50:], y[50:]
    weights = np.random.default_rng(0).exponential(size=len(y))
    kind = "MLPRegressor" if number == 1 else "MLPClassifier"
    pair = both(kind, early_stopping=True, validation_fraction=0.3)
    a, b = (each.fit(x, y, sample_weight=weights) for each in pair)
    np.testing.assert_allclose(b.validation_scores_, a.validation_scores_, rtol=1e-9)


@pytest.mark.parametrize("size", [4, 17])
def test_the_same_losses_by_weighted_samples(size: int) -> None:
    """A batch's penalty is divided by the weight of that batch."""
    x, y = (part[:150] for part in classes(datasets.load_breast_cancer))
    weights = np.random.default_rng(0).exponential(size=len(y))
    pair = both("MLPClassifier", batch_size=size, alpha=0.1)
    a, b = (each.fit(x, y, sample_weight=weights) for each in pair)
    np.testing.assert_allclose(b.loss_curve_, a.loss_curve_, rtol=0.02)


@pytest.mark.parametrize("options", [{}, {"solver": "sgd"}], ids=["adam", "sgd"])
@pytest.mark.parametrize("learning_rate", ["constant", "invscaling"])
def test_the_same_in_parts(options: dict[str, Any], learning_rate: str) -> None:
    """Parts of other sizes have other batches, and what is remembered goes on."""
    x, y = classes(datasets.load_iris)
    options = options | {"batch_size": 30, "learning_rate": learning_rate}
    a, b = both("MLPClassifier", **options)
    for rows in (slice(0, 150, 2), slice(0, 100), slice(20, 50), slice(0, 150)):
        for each in a, b:
            each.partial_fit(x[rows], y[rows], classes=[0, 1, 2])
    close(a, b)


def test_the_same_warm_start() -> None:
    x, y = classes(datasets.load_iris)
    a, b = both("MLPClassifier", warm_start=True)
    for each in a, b:
        each.fit(x, y).set_params(max_iter=7, solver="sgd").fit(x, y)
    close(a, b)
    assert len(b.loss_curve_) == len(a.loss_curve_) == 27


@pytest.mark.parametrize("seed", [np.random.RandomState, np.random.seed])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_the_same_by_a_generator_s_next_numbers(
    seed: Any, early_stopping: bool
) -> None:
    """A shuffle is drawn even where a single batch has all samples."""
    x, y = classes(datasets.load_iris)
    a, b = both("MLPClassifier", early_stopping=early_stopping)
    for each in a, b:
        each.set_params(random_state=seed(3))  # `seed` returns None
        each.fit(x, y).fit(x, y)
    close(a, b)


# What scikit-learn's examples do with their perceptrons, at their settings.
EXAMPLES = {
    "MNIST's weights": (
        "digits",
        {"hidden_layer_sizes": (40,), "max_iter": 8, "alpha": 1e-4, "solver": "sgd",
         "learning_rate_init": 0.2, "random_state": 1},
    ),
    "training curves": (
        "iris",
        {"solver": "sgd", "learning_rate": "invscaling", "momentum": 0.9,
         "learning_rate_init": 0.2, "max_iter": 400, "random_state": 0},
    ),
    "alpha": (
        "breast_cancer",
        {"solver": "lbfgs", "alpha": 0.1, "max_iter": 2000, "random_state": 1,
         "hidden_layer_sizes": [10, 10], "early_stopping": True},
    ),
    "classifier comparison": ("wine", {"alpha": 1, "max_iter": 1000,
                                       "random_state": 42}),
    "partial dependence": (
        "diabetes",
        {"hidden_layer_sizes": (30, 15), "learning_rate_init": 0.01,
         "early_stopping": True, "random_state": 0},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_score_alike(name: str) -> None:
    data, options = EXAMPLES[name]
    x, y = getattr(datasets, f"load_{data}")(return_X_y=True)
    y = scale(y) if data == "diabetes" else y
    scaled = MinMaxScaler().fit_transform(x)
    x, x_test, y, y_test = train_test_split(scaled, y, random_state=0)
    kind = "MLPRegressor" if data == "diabetes" else "MLPClassifier"
    a, b = (each.fit(x, y).score(x_test, y_test) for each in both(kind, **options))
    assert b >= a - 0.01


@pytest.mark.sweep
def test_scikit_learn_s_own_tests(tmp_path: Path) -> None:
    """With only the import changed; one of them calls a private method."""
    source = Path(theirs.__file__).parent / "tests" / "test_mlp.py"
    text, count = re.subn(
        "(?m)^from sklearn.neural_network import (MLPClassifier, MLPRegressor)$",
        r"from nnx.sklearn import \1",
        source.read_text("utf-8"),
    )
    assert count == 1
    (tmp_path / "test_mlp.py").write_text(text, "utf-8")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "sklearn.conftest",
         "-p", "no:cacheprovider", "test_mlp.py", "-k", "not test_gradient"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-3000:]
    assert re.search(r"\b58 passed, 1 deselected", ran.stdout), ran.stdout[-300:]
