"""Arrays of other libraries stay in their namespace and on their device."""

from typing import Any

import numpy as np
import pytest
import sklearn
from sklearn import datasets
from sklearn.preprocessing import scale

from nnx.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, Y = datasets.load_iris(return_X_y=True)
X = scale(X)
LIBRARIES = [
    "torch",
    "array_api_strict",
    pytest.param("cupy", marks=pytest.mark.gpu),
    pytest.param("torch:cuda", marks=pytest.mark.gpu),
]
OPTIONS: dict[str, dict[str, Any]] = {
    "adam": {},
    "sgd": {"solver": "sgd", "batch_size": 40, "warm_start": True},
    "lbfgs": {"solver": "lbfgs"},
    "early stopping": {"early_stopping": True},
    "batch norm": {"batch_norm": True, "ema_decay": 0.9},
}


def moved(library: str, *arrays: Any) -> list[Any]:
    name, _, device = library.partition(":")
    xp = pytest.importorskip(name)
    if device == "cuda" and not xp.cuda.is_available():
        pytest.skip("PyTorch finds no card")
    options = {"device": device} if device else {}
    return [xp.asarray(array, **options) for array in arrays]


def on_host(array: Any) -> Any:
    array = array.get() if hasattr(array, "get") else array
    return np.asarray(array.cpu() if hasattr(array, "cpu") else array)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_the_same_from_another_library(
    kind: Any, options: dict[str, Any], library: str
) -> None:
    x, y = moved(library, X, Y)
    model = kind(max_iter=10, random_state=0, **options)
    wanted = sklearn.clone(model).fit(X, Y)
    with sklearn.config_context(array_api_dispatch=True):
        model.fit(x, y)
        predicted, score = model.predict(x), model.score(x, y)
    for array in (*model.coefs_, *model.intercepts_, predicted):
        assert type(array) is type(x)
        assert array.device == x.device
    np.testing.assert_allclose(on_host(predicted), wanted.predict(X), atol=1e-6)
    np.testing.assert_allclose(on_host(model.coefs_[0]), wanted.coefs_[0], atol=1e-6)
    assert score == pytest.approx(wanted.score(X, Y))


def test_torch_s_weights_may_be_written_to() -> None:
    [x] = moved("torch", X)
    with sklearn.config_context(array_api_dispatch=True):
        model = MLPRegressor(max_iter=2).fit(x, Y)
        model.coefs_[0] *= 2.0
        model.partial_fit(x, Y)


def test_text_labels_of_torch_s_features_are_numpy_s() -> None:
    [x] = moved("torch", X)
    names = np.array(["a", "b", "c"])[Y]
    with sklearn.config_context(array_api_dispatch=True):
        model = MLPClassifier(max_iter=100, random_state=0).fit(x, names)
        assert np.mean(model.predict(x) == names) > 0.9
        assert type(model.predict_proba(x)) is type(x)


def test_a_backend_of_another_library_is_refused() -> None:
    [x] = moved("torch", X)
    with (
        sklearn.config_context(array_api_dispatch=True),
        pytest.raises(ValueError, match="backend='numpy' does not compute on arrays"),
    ):
        MLPClassifier(backend="numpy").fit(x, Y)


def test_numpy_s_features_may_be_computed_on_by_torch() -> None:
    pytest.importorskip("torch")
    model = MLPClassifier(max_iter=10, random_state=0, backend="torch").fit(X, Y)
    wanted = MLPClassifier(max_iter=10, random_state=0).fit(X, Y)
    assert isinstance(model.predict_proba(X), np.ndarray)
    np.testing.assert_allclose(model.coefs_[0], wanted.coefs_[0], atol=1e-9)
