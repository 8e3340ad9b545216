"""A model is one model: what one backend trained, every other one can use."""

from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from usable import usable

import nnx
from nnx.backend import Backend
from nnx.data.dataset import Dataset

BACKENDS = "numpy", "numba", "torch", "jax"
SETTINGS = {"batch_size": 32, "learning_rate": 0.05, "l2": 1e-3}


@pytest.fixture(params=permutations(BACKENDS, 2), ids="-then-".join)
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[Backend, Backend]]:
    return tuple(map(usable, request.param))


def assert_near(a: nnx.Network, b: nnx.Network) -> None:
    for one, other in zip(a.layers, b.layers, strict=True):
        np.testing.assert_allclose(one.weight, other.weight, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(one.bias, other.bias, rtol=1e-4, atol=1e-6)


def test_evaluated_and_asked_elsewhere(
    pair: tuple[Backend, Backend], data: Dataset, tmp_path: Path
) -> None:
    first, second = pair
    network = nnx.Network([25, 9, 3], "tanh")
    trained = nnx.train(
        network, data, backend=first, epochs=2, out=tmp_path / "run", **SETTINGS
    )
    loaded = nnx.Network.load(tmp_path / "run")
    found = nnx.evaluate(loaded, data, backend=second)
    assert found.loss == pytest.approx(trained.test_loss, rel=1e-5)
    assert found.accuracy == trained.test_accuracy
    images = data.test.images[:7]
    a, b = (loaded.predict_proba(images, backend=backend) for backend in pair)
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7)


def test_training_goes_on_elsewhere(
    pair: tuple[Backend, Backend], data: Dataset, tmp_path: Path
) -> None:
    """Stopped in an epoch's middle and resumed, against a run that stayed."""
    first, second = pair
    network = nnx.Network([25, 9, 3], "tanh")
    whole = nnx.train(network, data, backend=first, epochs=4, **SETTINGS)
    part = nnx.train(
        network,
        data,
        backend=first,
        epochs=4,
        out=tmp_path / "run",
        should_stop=lambda: True,
        **SETTINGS,
    )
    assert part.stopped
    rest = nnx.train(
        network,
        data,
        backend=second,
        epochs=4,
        out=tmp_path / "run",
        resume=True,
        **SETTINGS,
    )
    assert not rest.stopped
    assert_near(rest.network, whole.network)
    assert rest.log[0].train_loss == pytest.approx(whole.log[0].train_loss, rel=1e-5)
    assert [row.train_score for row in rest.log] == [
        row.train_score for row in whole.log
    ]
