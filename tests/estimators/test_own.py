"""What the estimators have beyond scikit-learn's."""

import gc
import pickle
import subprocess
import sys
import weakref
from typing import Any

import numpy as np
import pytest
from iris_data import X, Y, fitted
from joblib import Parallel, delayed
from own_process import printed
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nnx.backend import find
from nnx.maths.activations import ACTIVATIONS
from nnx.settings import kinds
from nnx.sklearn import MLPClassifier, MLPRegressor, places

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
OWN: dict[str, Any] = {
    "dropout": 0.2,
    "input_dropout": 0.1,
    "batch_norm": True,
    "weight_decay": 1.0,
    "clip_norm": 0.1,
    "max_norm": 0.5,
    "ema_decay": 0.9,
}
OUTSIDE = {
    "batch_norm": 2, "weight_decay": -0.1, "clip_norm": -0.1, "max_norm": -0.1,
    "ema_decay": 1.0, "label_smoothing": 1.0, "backend": None,
}  # fmt: skip


def test_activations_beyond_scikit_learn_s_are_told() -> None:
    """Scikit-learn calls sigmoid "logistic"."""
    for name in ACTIVATIONS.keys() - {"identity", "relu", "tanh", "sigmoid"}:
        assert f'"{name}"' in (MLPClassifier.__doc__ or ""), name


@pytest.mark.parametrize("name", OWN)
def test_each_option_changes_what_is_learnt(name: str) -> None:
    plain, other = fitted(), fitted(**{name: OWN[name]})
    assert not np.allclose(plain.coefs_[0], other.coefs_[0], atol=1e-6)
    assert other.score(X, Y) > 0.6
    before = other.coefs_[0].copy()  # the next fit begins anew
    np.testing.assert_array_equal(other.fit(X, Y).coefs_[0], before)


@pytest.mark.parametrize("name", OWN)
def test_lbfgs_says_what_it_has_not(name: str) -> None:
    with pytest.raises(ValueError, match=f"no {name}: use solver='adam'"):
        fitted(solver="lbfgs", **{name: OWN[name]})


@pytest.mark.parametrize("options", [{}, OWN], ids=["plain", "all options"])
def test_parts_after_a_pickle_are_as_without(options: dict[str, Any]) -> None:
    """Batch normalization's statistics and the moving average go on too."""
    one = MLPClassifier(random_state=0, batch_size=40, **options)
    one.partial_fit(X, Y, classes=[0, 1, 2])
    other = pickle.loads(pickle.dumps(one))
    for each in one, other:
        for _ in range(3):
            each.partial_fit(X, Y)
    assert one._optimizer.state.step == 16
    np.testing.assert_array_equal(one.coefs_[0], other.coefs_[0])
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))


@pytest.mark.parametrize("name", [name for name in OWN if "dropout" not in name])
def test_parts_are_epochs(name: str) -> None:
    """They go on from the layers in training; `coefs_` are normalized or averaged."""
    options = {"batch_size": 40, "shuffle": False, name: OWN[name]}
    part = fitted(max_iter=1, **options)
    for _ in range(2):
        part.partial_fit(X, Y)
    whole = fitted(max_iter=3, **options)
    np.testing.assert_allclose(part.coefs_[0], whole.coefs_[0], atol=1e-12)


@pytest.mark.parametrize("name", ["batch_norm", "ema_decay"])
def test_a_warm_start_goes_on_from_the_layers_in_training(name: str) -> None:
    """And from their statistics. At a rate of nearly 0 they hardly change."""
    model = fitted(warm_start=True, max_iter=3, **{name: OWN[name]})
    part = pickle.loads(pickle.dumps(model)).set_params(learning_rate_init=1e-12)
    model.set_params(learning_rate_init=1e-12, max_iter=1).fit(X, Y)
    close = np.testing.assert_allclose
    ours, theirs = (each._optimizer.state for each in (model, part.partial_fit(X, Y)))
    close(ours.layers[0].weight, theirs.layers[0].weight, atol=1e-9)
    if name == "batch_norm":
        close(ours.running_stats[0].mean, theirs.running_stats[0].mean)


@pytest.mark.parametrize("name", ["dropout", "input_dropout"])
def test_what_is_left_out_depends_on_the_random_state(name: str) -> None:
    first = fitted(warm_start=True, shuffle=False, max_iter=1, **{name: OWN[name]})
    one, other = (
        pickle.loads(pickle.dumps(first)).set_params(random_state=seed).fit(X, Y)
        for seed in range(2)
    )
    assert not np.allclose(one.coefs_[0], other.coefs_[0], atol=1e-6)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_another_rate_between_parts_is_the_next_step_s(solver: str) -> None:
    """Adam's step is the rate times its moments, whatever rate they were learnt at.

    SGD's velocity, as scikit-learn has it, keeps the length of its step.
    """

    def longest(rate: float) -> float:
        """Return how far a weight goes in a part after ten others."""
        model = MLPClassifier((8,), solver=solver, random_state=0, batch_size=150)
        model.set_params(shuffle=False, nesterovs_momentum=False)
        for _ in range(10):
            model.partial_fit(X, Y, classes=[0, 1, 2])
        before = model.coefs_[0].copy()
        model.set_params(learning_rate_init=rate).partial_fit(X, Y)
        return float(np.abs(model.coefs_[0] - before).max())

    ratio = longest(1e-5) / longest(1e-3)
    assert (
        ratio == pytest.approx(0.01, rel=1e-6)
        if solver == "adam"
        else 0.5 < ratio < 0.95
    )


@pytest.mark.parametrize("name", ["dropout", "input_dropout"])
def test_dropout_has_the_bound_of_the_settings(name: str) -> None:
    """A rate is a whole number of 65,536ths, and all of them would be 1 / 0."""
    most = 0.99
    assert kinds.DROPOUT.read(most) == most
    MLPClassifier((8,), max_iter=2, **{name: most}).fit(X, Y)
    for rate in 0.999999, 0.9901:
        with pytest.raises(ValueError, match=f"'{name}' parameter .* must be a float"):
            MLPClassifier((8,), max_iter=2, **{name: rate}).fit(X, Y)


def test_options_may_change_between_fits() -> None:
    model = fitted(warm_start=True)
    for options in ({"batch_norm": True}, {"ema_decay": 0.5}, {"batch_norm": False},
                    {"solver": "sgd"}, {"ema_decay": 0.0}):  # fmt: skip
        model.set_params(**options).fit(X, Y)
        model.partial_fit(X, Y)
        assert bool(model._optimizer.state.ema) == (model.ema_decay > 0.0)
    assert model.score(X, Y) > 0.9


@pytest.mark.parametrize(("before", "solver"), [("adam", "sgd"), ("sgd", "adam")])
def test_another_solver_takes_over_no_state(before: str, solver: str) -> None:
    part = fitted(solver=before, warm_start=True, shuffle=False, max_iter=1)
    whole = pickle.loads(pickle.dumps(part.set_params(solver=solver))).fit(X, Y)
    np.testing.assert_array_equal(part.partial_fit(X, Y).coefs_[0], whole.coefs_[0])


def test_a_fit_without_a_best_epoch_leaves_the_weights() -> None:
    model = fitted(early_stopping=True, warm_start=True)
    before, model.best_validation_score_ = model.coefs_[0].copy(), 1.0
    np.testing.assert_array_equal(model.fit(X, Y).coefs_[0], before)


def test_the_best_epoch_s_network_is_kept() -> None:
    """With that epoch's statistics and average, too."""
    options = {"batch_norm": True, "ema_decay": 0.9, "learning_rate_init": 0.1}
    model = fitted(early_stopping=True, **options)
    scores = model.validation_scores_
    best = scores.index(max(scores))
    assert best < len(scores) - 1
    ended = fitted(early_stopping=True, max_iter=best + 1, **options)
    np.testing.assert_array_equal(model.predict_proba(X), ended.predict_proba(X))
    kept, wanted = (each._optimizer.state.layers[0].weight for each in (model, ended))
    np.testing.assert_array_equal(kept, wanted)


@pytest.mark.parametrize("y", [Y, Y == 0], ids=["many", "two"])
def test_smoothed_labels_leave_doubt(y: Any) -> None:
    plain, smooth = (
        MLPClassifier(solver="lbfgs", random_state=0, label_smoothing=share).fit(X, y)
        for share in (0.0, 0.3)
    )
    least = [model.predict_proba(X).min() for model in (plain, smooth)]
    assert least[0] < 1e-3 < 0.05 < least[1]


def test_huber_heeds_no_outlier() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (300, 1))
    y = 2.0 * x[:, 0]
    bad = y.copy()
    bad[::10] += 50.0
    error = {
        loss: np.abs(
            MLPRegressor(loss=loss, solver="lbfgs", random_state=0, max_iter=100)
            .fit(x, bad).predict(x) - y
        ).mean()
        for loss in ("squared_error", "huber")
    }  # fmt: skip
    assert error["huber"] < 0.5 < error["squared_error"]


def test_sigmoid_is_the_logistic_function() -> None:
    one, other = (fitted(activation=name) for name in ("sigmoid", "logistic"))
    np.testing.assert_array_equal(one.coefs_[0], other.coefs_[0])


def test_lbfgs_computes_with_float64_on_float32() -> None:
    x = X.astype(np.float32)
    model = MLPClassifier(solver="lbfgs", random_state=0, max_iter=20)
    [weight, _] = model.fit(x, Y).coefs_
    assert weight.dtype == np.float32
    [wanted, _] = model.fit(x.astype(np.float64), Y).coefs_
    np.testing.assert_allclose(weight, wanted, atol=1e-6)


def test_a_fit_that_diverges_ends_and_keeps_its_best_epoch_if_any() -> None:
    model = MLPRegressor(solver="sgd", learning_rate_init=1e9, random_state=0)
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        model.fit(X, Y)
    assert model.n_iter_ < 9
    model.set_params(early_stopping=True).fit(X, Y)
    assert np.isnan(model.validation_scores_[-1])
    assert np.isfinite(model.predict(X)).all()


def test_the_compiled_backend_learns_the_same() -> None:
    weights = np.random.default_rng(0).uniform(0.5, 2.0, len(Y))
    a, b = (
        MLPClassifier((25,), solver="sgd", momentum=0.0, batch_size=40, random_state=0,
                      max_iter=5, backend=name).fit(X, Y, sample_weight=weights)
        for name in ("numpy", "numba")
    )  # fmt: skip
    for one, other in zip(a.coefs_, b.coefs_, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_what_was_learnt_from_is_not_kept(backend: str) -> None:
    x = X.copy()
    known = weakref.ref(x)
    model = MLPClassifier((8,), max_iter=2, random_state=0, backend=backend)
    model.fit(x, Y).partial_fit(x, Y)
    del x
    gc.collect()
    assert known() is None
    assert model.coefs_[0].shape == (4, 8)


def test_half_precision_is_not_computed_with() -> None:
    x = X.astype(np.float16)
    weight, wanted = (
        MLPClassifier(random_state=0, max_iter=2).fit(each, Y).coefs_[0]
        for each in (x, x.astype(np.float64))
    )
    np.testing.assert_array_equal(weight, wanted)


def test_a_small_fit_compiles_nothing() -> None:
    script = (
        "import sys; from nnx.sklearn import MLPClassifier as M;"
        "M(max_iter=2).fit([[0.0], [1.0]], [0, 1]); print('numba' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True
    )
    assert ran.stdout.strip() == "False", ran.stderr


def test_without_scikit_learn_a_line_says_so() -> None:
    script = (
        "import sys; sys.modules['sklearn'] = None; import nnx.sklearn\n"
        "try: nnx.sklearn.MLPClassifier\n"
        "except ImportError as error: print(error)"
    )
    assert printed(script) == (
        "nnx.sklearn needs scikit-learn: pip install 'nnx-mlp[sklearn]'\n"
    )


def test_sparse_features_that_memory_cannot_hold_dense() -> None:
    wide = sparse.csr_array((10**5, 10**8))
    with pytest.raises(ValueError, match=r"take 80000.0 GB: choose fewer"):
        places.dense(wide)


def test_unusable_parameters_are_refused_in_a_line() -> None:
    for options, words in (
        ({"backend": "nowhere"}, "no backend is called 'nowhere'"),
        ({"device": "cuda"}, "backend 'auto' takes no device"),
        ({"dropout": 1.0}, "'dropout' parameter"),
        ({"hidden_layer_sizes": (3.5,)}, "whole numbers"),
        ({"hidden_layer_sizes": [[3, 4]]}, "whole numbers"),
        ({"hidden_layer_sizes": (3, 0)}, "hidden_layer_sizes must be > 0, got"),
        ({"learning_rate_init": 0.0}, "'learning_rate_init' parameter"),
        (
            {"early_stopping": True, "validation_fraction": 0.005},
            "validation set is too small",
        ),
        ({"activation": "swish"}, "'activation' parameter"),
    ):
        with pytest.raises(Exception, match=words) as error:
            fitted(**options)
        assert "\n" not in str(error.value)
    for name, value in OUTSIDE.items():
        with pytest.raises(ValueError, match=f"'{name}' parameter of MLPClassifier"):
            fitted(**{name: value})
    with pytest.raises(ValueError, match="the same classes as in the previous call"):
        fitted(warm_start=True).fit(X, Y + 1)
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        MLPClassifier().fit(X, X[:, 0])
    with pytest.raises(ValueError, match="columns of classes: each must be 0 or 1"):
        MLPClassifier().fit(X, np.stack([Y, Y], axis=1))
    with pytest.raises(ValueError, match="targets of 0 or more"):
        MLPRegressor(loss="poisson").fit(X, -Y)


@pytest.mark.parametrize("y", [Y, Y == 0], ids=["many", "two"])
def test_the_logarithm_of_a_probability_of_0(y: Any) -> None:
    model = MLPClassifier(max_iter=9, random_state=0).fit(X, y)
    logarithms = model.predict_log_proba(1e5 * X)
    assert (logarithms == -np.inf).any()
    np.testing.assert_array_equal(np.exp(logarithms) > 0.5, logarithms > -0.5)


@pytest.mark.parametrize("y", [np.full(len(Y), 5), np.array(["one"] * len(Y))])
def test_of_one_class_it_is_that(y: Any) -> None:
    model = MLPClassifier(max_iter=2).fit(X[:50], y[:50])
    np.testing.assert_array_equal(model.predict(100 * X), y)
    np.testing.assert_array_equal(model.predict(-100 * X), y)
    assert model.predict_proba(X).shape == (len(X), 1)


def test_sparse_labels_are_predicted_sparse() -> None:
    """As by scikit-learn; and dense ones dense, whatever was fitted before."""
    y = np.stack([Y == 0, Y > 0], axis=1).astype(int)
    model = MLPClassifier(max_iter=9, random_state=0)
    expected = model.fit(X, y).predict(X)
    assert isinstance(expected, np.ndarray)
    for labels in sparse.csr_matrix(y), sparse.coo_array(y):
        predicted = model.fit(X, labels).predict(X)
        assert isinstance(predicted, sparse.csr_matrix)
        np.testing.assert_array_equal(predicted.toarray(), expected)
        assert model.score(X, labels) == model.score(X, y)
    assert isinstance(model.fit(X, y).predict(X), np.ndarray)


def test_negative_weights_are_refused() -> None:
    """Below 0 a loss has no least value, and training would end nowhere."""
    for weights in np.full(len(Y), -1.0), np.where(Y == 0, -1.0, 1.0):
        with pytest.raises(ValueError, match="Negative values .*sample_weight"):
            MLPClassifier().fit(X, Y, sample_weight=weights)


def test_normalizing_over_one_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a batch_size of 2 or more, got 1"):
        MLPClassifier(batch_norm=True, batch_size=1).fit(X, Y)


def test_a_validation_set_has_a_loss_curve() -> None:
    model = fitted(early_stopping=True)
    assert len(model.validation_loss_curve_) == model.n_iter_
    assert model.validation_loss_curve_[-1] < model.validation_loss_curve_[0]
    # Of rows that count and are all alike, and a rate of nearly 0, losses are alike.
    options = {"alpha": 0.0, "learning_rate_init": 1e-9, "max_iter": 1}
    values = MLPRegressor(random_state=0, early_stopping=True, **options)
    counts = np.arange(40) % 2
    values.fit(np.ones((40, 1)), np.ones((40, 3)) * counts[:, None], counts)
    assert values.validation_loss_curve_ == pytest.approx([values.loss_], rel=1e-6)


@pytest.mark.parametrize(
    "y", [Y, Y == 0, np.stack([Y == 0, Y == 1], axis=1)], ids=["many", "two", "several"]
)
def test_a_validation_loss_is_against_plain_targets(y: Any) -> None:
    """At a rate of nearly 0 the networks are alike."""
    options = {"learning_rate_init": 1e-9, "max_iter": 1, "early_stopping": True}
    plain, smooth = (
        MLPClassifier(random_state=0, label_smoothing=share, **options).fit(X, y)
        for share in (0.0, 0.6)
    )
    assert smooth.loss_ != pytest.approx(plain.loss_, rel=1e-4)
    curves = smooth.validation_loss_curve_, plain.validation_loss_curve_
    np.testing.assert_allclose(*curves, rtol=1e-6)
    assert smooth.validation_scores_ == plain.validation_scores_


def test_in_a_pipeline_with_text_labels() -> None:
    names = np.array(["setosa", "versicolor", "virginica"])[Y]
    model = make_pipeline(StandardScaler(), MLPClassifier(random_state=0))
    assert cross_val_score(model, X, names, cv=3).mean() > 0.9
    assert set(model.fit(X, names).predict(X)) == set(names)


def team_size() -> int:
    return find("numba").ops.logits.keywords["threads"].most  # type: ignore[union-attr]


@pytest.mark.sweep
def test_a_process_of_joblib_has_its_share_of_cores() -> None:
    assert Parallel(n_jobs=2)([delayed(team_size)()] * 2) == [1, 1]


@pytest.mark.sweep
def test_a_search_by_two_processes() -> None:
    grid = {"alpha": [0.0, 0.1, 1.0], "hidden_layer_sizes": [(5,), (20,)],
            "backend": ["numpy", "numba"]}  # fmt: skip
    one, two = (
        GridSearchCV(clone(MLPClassifier(max_iter=40, random_state=0)), grid, cv=3,
                     n_jobs=jobs).fit(X, Y)
        for jobs in (1, 2)
    )  # fmt: skip
    assert len(one.cv_results_["params"]) == 12
    assert one.best_params_ == two.best_params_
    np.testing.assert_allclose(
        one.cv_results_["mean_test_score"], two.cv_results_["mean_test_score"]
    )
