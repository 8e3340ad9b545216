"""Cross-entropy against its definition, against SciPy's, and at the extremes."""

import numpy as np
import pytest
from scipy.special import expit, log_softmax
from scipy.special import softmax as scipy_softmax

from nnx.backend import Backend
from nnx.maths import losses
from nnx.maths.hyperparameters import Hyperparameters


def test_a_case_worked_by_hand(backend: Backend) -> None:
    # softmax(log 1, log 2, log 5) = (1, 2, 5)/8 and softmax(0, 0, 0) = (1, 1, 1)/3
    logits = backend.from_numpy(
        np.array([[0.0, np.log(2), np.log(5)], [0.0, 0.0, 0.0]])
    )
    labels = backend.from_numpy(np.array([2, 0]))
    loss, dlogits = losses.cross_entropy(logits, labels, xp=backend.xp)
    np.testing.assert_allclose(backend.to_numpy(loss), np.log([8 / 5, 3]), rtol=1e-14)
    expected = [[1 / 8, 2 / 8, -3 / 8], [-2 / 3, 1 / 3, 1 / 3]]
    np.testing.assert_allclose(backend.to_numpy(dlogits), expected, atol=1e-15)


def test_against_scipy(backend: Backend, rng: np.random.Generator) -> None:
    logits, labels = rng.normal(0, 3, (50, 10)), rng.integers(0, 10, 50)
    loss, dlogits = losses.cross_entropy(
        backend.from_numpy(logits), backend.from_numpy(labels), xp=backend.xp
    )
    log_p = log_softmax(logits, axis=1)
    np.testing.assert_allclose(
        backend.to_numpy(loss), -log_p[np.arange(50), labels], rtol=1e-12
    )
    expected = np.exp(log_p) - np.eye(10)[labels]
    np.testing.assert_allclose(backend.to_numpy(dlogits), expected, atol=1e-15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logits_of_ten_thousand(backend: Backend, dtype: str) -> None:
    logits = np.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4]], dtype)
    labels = np.array([1, 1])
    loss, dlogits = losses.cross_entropy(
        backend.from_numpy(logits), backend.from_numpy(labels), xp=backend.xp
    )
    # Row 0 is off by 20,000 nats; row 1 is torn between two classes.
    np.testing.assert_allclose(backend.to_numpy(loss), [2e4, np.log(2)], rtol=1e-6)
    gradient = backend.to_numpy(dlogits)
    assert gradient.dtype == dtype
    np.testing.assert_allclose(gradient, [[1, -1, 0], [0, -0.5, 0.5]])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_labels_of_logits_of_any_size(backend: Backend, dtype: str) -> None:
    """log(1 + exp(z)) of a label that is 0, and of -z of one that is 1."""
    logits = np.array([-1e4, -80.0, -3.0, -1e-3, 0.0, 0.5, 3.0, 80.0, 1e4], dtype)
    logits = np.stack([logits, logits[::-1]], axis=1)
    targets = np.tile(np.array([0.0, 1.0], dtype), (len(logits), 1))
    loss, dlogits = losses.binary_cross_entropy(
        backend.from_numpy(logits), backend.from_numpy(targets), xp=backend.xp
    )
    z = logits.astype(np.float64)
    expected = np.sum(np.logaddexp(0.0, z * [1.0, -1.0]), axis=1)
    rtol = 10 * np.finfo(dtype).eps
    np.testing.assert_allclose(backend.to_numpy(loss), expected, rtol=rtol)
    gradient = backend.to_numpy(dlogits)
    assert gradient.dtype == backend.to_numpy(loss).dtype == dtype
    np.testing.assert_allclose(gradient, expit(z) - targets, rtol=rtol, atol=rtol)


def test_a_sample_counts_as_its_weight_times_that_of_its_class(
    backend: Backend,
) -> None:
    hyper = Hyperparameters(("identity",), 1.0, 2, class_weights=(2.0, 5.0))
    logits, labels, weights = (
        backend.from_numpy(np.array(each))
        for each in ([[0.0, 0.0], [0.0, np.log(3)]], [0, 1], [1.0, 3.0])
    )
    mean = losses.mean_loss(logits, labels, hyper, weights, xp=backend.xp)
    expected = (1 * 2 * np.log(2) + 3 * 5 * np.log(4 / 3)) / (1 * 2 + 3 * 5)
    assert float(backend.to_numpy(mean)) == pytest.approx(expected, rel=1e-14)


def test_softmax(backend: Backend, rng: np.random.Generator) -> None:
    logits = rng.normal(0, 100, (20, 7))
    got = losses.softmax(backend.from_numpy(logits), xp=backend.xp)
    np.testing.assert_allclose(
        backend.to_numpy(got), scipy_softmax(logits, axis=1), rtol=1e-11
    )


def test_correct(backend: Backend) -> None:
    logits = backend.from_numpy(np.array([[1.0, 2.0], [3.0, 0.0], [0.0, 1.0]]))
    labels = backend.from_numpy(np.array([1, 1, 1]))
    correct = losses.correct(logits, labels, xp=backend.xp)
    assert int(backend.to_numpy(correct)) == 2
