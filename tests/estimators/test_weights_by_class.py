"""Weights of classes, in all of the data or in parts of them."""

import numpy as np
import pytest
from iris_data import X, Y, fitted
from sklearn.base import clone
from sklearn.utils.class_weight import compute_sample_weight

from nnx.sklearn import MLPClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_class_weights_are_sample_weights(solver: str) -> None:
    own = np.random.default_rng(0).uniform(0.5, 2.0, len(Y))
    weights = np.array([1.0, 3.0, 0.5])[Y]
    model = MLPClassifier(max_iter=30, random_state=0, solver=solver)
    other = clone(model).set_params(class_weight={0: 1.0, 1: 3.0, 2: 0.5})
    for by_class, by_sample in (None, weights), (own, own * weights):
        other.fit(X, Y, by_class)
        model.fit(X, Y, by_sample)
        np.testing.assert_allclose(other.coefs_[0], model.coefs_[0], atol=1e-9)


@pytest.mark.parametrize("weight", [-2.0, float("nan"), float("inf")])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_class_weight_is_a_finite_number_of_0_or_more(
    solver: str, weight: float
) -> None:
    with pytest.raises(ValueError, match="class_weight must be finite and at least 0"):
        fitted(class_weight={0: weight}, solver=solver)


def test_not_all_class_weights_are_0() -> None:
    with pytest.raises(ValueError, match="class_weight must be above 0 for some class"):
        fitted(class_weight={0: 0.0, 1: 0.0, 2: 0.0})


def test_a_part_may_lack_classes_that_have_weights() -> None:
    """As for scikit-learn's SGDClassifier."""
    names = np.array(["a", "b", "c"])
    for y, classes in (Y, [0, 1, 2]), (names[Y], names):
        part, options = Y < 2, {"hidden_layer_sizes": (8,), "random_state": 0}
        model = MLPClassifier(class_weight={classes[0]: 3.0, classes[2]: 5.0})
        model.set_params(**options).partial_fit(X[part], y[part], classes=classes)
        other = MLPClassifier(**options)
        weights = np.where(Y == 0, 3.0, 1.0)[part]
        other.partial_fit(X[part], y[part], weights, classes)
        np.testing.assert_array_equal(model.coefs_[0], other.coefs_[0])
    labels = np.stack([Y == 0, Y == 1], axis=1)[Y == 2]
    model = MLPClassifier((8,), class_weight=[{1: 2.0}, {1: 5.0}])
    assert model.partial_fit(X[Y == 2], labels, classes=[0, 1]).n_iter_ == 1


def test_a_part_may_have_only_classes_of_weight_0() -> None:
    """Before other parts it changes nothing."""
    model = MLPClassifier((8,), class_weight={0: 0.0, 1: 1.0, 2: 5.0}, random_state=0)
    part = X[Y == 0], Y[Y == 0]
    before = model.partial_fit(*part, classes=[0, 1, 2]).coefs_[0]
    np.testing.assert_array_equal(model.partial_fit(*part).coefs_[0], before)
    assert model.loss_ == 0.0
    assert (model.partial_fit(X, Y).coefs_[0] != before).any()


def test_a_part_s_weights_are_of_known_classes() -> None:
    y, classes = np.zeros(len(X), int), [0, 1, 2]
    for weights, words in (
        ({3: 1.0}, r"classes, \[0, 1, 2\], are not in class_weight"),
        ({0: 0.0, 1: 0.0, 2: 0.0}, "must be above 0 for some class"),
        ({2: -1.0}, "must be finite and at least 0"),
    ):
        model = MLPClassifier(class_weight=weights)
        with pytest.raises(ValueError, match=words):
            model.partial_fit(X, y, classes=classes)


def test_balanced_classes() -> None:
    rows = np.r_[0:50, 50:100, 100:103]
    plain, balanced = (
        MLPClassifier(max_iter=60, random_state=0, class_weight=weight)
        .fit(X[rows], Y[rows]).predict(X)
        for weight in (None, "balanced")
    )  # fmt: skip
    assert np.sum(balanced == 2) > np.sum(plain == 2)
    part = X[rows], Y[rows]
    by_sample = MLPClassifier(max_iter=9, random_state=0)
    by_sample.fit(*part, compute_sample_weight("balanced", Y[rows]))
    by_class = clone(by_sample).set_params(class_weight="balanced").fit(*part)
    np.testing.assert_allclose(by_class.coefs_[0], by_sample.coefs_[0], atol=1e-12)
    with pytest.raises(ValueError, match="'balanced' is not supported for partial_fit"):
        MLPClassifier(class_weight="balanced").partial_fit(X, Y, classes=[0, 1, 2])
