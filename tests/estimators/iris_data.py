"""The irises, and a classifier fitted to them."""

from typing import Any

from sklearn import datasets
from sklearn.preprocessing import scale

from nnx.sklearn import MLPClassifier

X, Y = datasets.load_iris(return_X_y=True)
X = scale(X)


def fitted(**options: Any) -> MLPClassifier:
    return MLPClassifier(**{"max_iter": 30, "random_state": 0} | options).fit(X, Y)
