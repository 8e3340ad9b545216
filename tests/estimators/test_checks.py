"""Every check that scikit-learn has for estimators, none expected to fail."""

from typing import Any

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from nnx.sklearn import MLPClassifier, MLPRegressor

# As scikit-learn's own tests check its perceptrons.
ITERATIONS = 100
# What a check does to provoke an estimator, and what SciPy's tables say of themselves.
pytestmark = pytest.mark.filterwarnings("ignore")


@parametrize_with_checks(
    [MLPClassifier(max_iter=ITERATIONS), MLPRegressor(max_iter=ITERATIONS)]
)
def test_the_checks_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.sweep
@parametrize_with_checks([MLPClassifier(), MLPRegressor()])
def test_the_checks_with_all_defaults(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.sweep
@parametrize_with_checks(
    [
        MLPRegressor(solver="lbfgs"),
        MLPClassifier(solver="sgd", learning_rate_init=0.1),
        MLPRegressor(loss="huber", solver="sgd", learning_rate_init=0.1),
    ]
)
def test_the_checks_with_other_solvers(estimator: Any, check: Any) -> None:
    check(estimator)
