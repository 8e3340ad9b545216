"""Training on images that are distorted anew in every epoch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnx import Network, train
from nnx.backend import Backend
from nnx.data.dataset import Dataset, Frame
from nnx.errors import InputError
from nnx.maths import random, steps
from nnx.maths.distortion import Distortion, distort
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.state import Images, initial_state
from nnx.model_file import MODEL_NAME
from nnx.training import loop

AUGMENT = "shift=1,rotation=20,scale=0.1,shear=0.1,elastic=3,sigma=1.5"
SETTINGS: dict[str, Any] = {
    "epochs": 3, "batch_size": 16, "learning_rate": 0.3, "seed": 5, "augment": AUGMENT,
}  # fmt: skip


@pytest.fixture
def network() -> Network:
    return Network([25, 7, 3], "tanh", seed=2, dtype="float64")


def test_a_run_is_steps_on_distorted_images(
    network: Network, data: Dataset, reference: Backend
) -> None:
    """The same as distorting all images by hand before each epoch."""
    result = train(network, data, backend="numpy", **SETTINGS)
    amounts = Distortion(1.0, 20.0, 0.1, 0.1, 3.0, 1.5)
    hyper = Hyperparameters(network.activation, 1 / 255, 16, learning_rate=0.3)
    state = initial_state(network.layers, hyper, reference.ops)
    index = np.arange(150)
    for epoch in range(3):
        pixels = distort(
            data.train.images, index, (5, 5), amounts,
            seed=5, epoch=epoch, like=state.layers[0].weight, xp=np,
        )  # fmt: skip
        order = random.permutation(150, seed=5, epoch=epoch, xp=np)
        state = state._replace(loss_sum=np.zeros(()))
        images = Images(pixels, data.train.labels)
        state = steps.run_steps(state, images, order, 10, hyper, reference.ops)
        assert result.log[epoch].train_loss == pytest.approx(state.loss_sum / 150)
    for got, wanted in zip(result.network.layers, state.layers, strict=True):
        np.testing.assert_allclose(got.weight, wanted.weight, rtol=1e-12)


def test_every_backend_learns_the_same(
    network: Network, data: Dataset, backend: Backend, reference: Backend
) -> None:
    got, wanted = (
        train(network, data, backend=b, **SETTINGS) for b in (backend, reference)
    )
    assert got.test_loss == pytest.approx(wanted.test_loss, rel=1e-8)


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_stopped_after_any_step_and_resumed(
    network: Network, data: Dataset, tmp_path: Path, name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    network = Network([25, 7, 3], "tanh", dtype="float32")
    whole = train(network, data, backend=name, out=tmp_path / "whole", **SETTINGS)
    assert not whole.stopped
    monkeypatch.setattr(loop, "UPDATE_SECONDS", 0.0)
    stops = iter(range(1000))
    train(
        network, data, backend=name, out=tmp_path / "cut",
        should_stop=lambda: next(stops) >= 12, **SETTINGS,
    )  # fmt: skip
    train(network, data, backend=name, out=tmp_path / "cut", resume=True, **SETTINGS)
    bits = [(tmp_path / run / MODEL_NAME).read_bytes() for run in ("whole", "cut")]
    assert bits[0] == bits[1]


def test_it_is_another_run_than_without(
    network: Network, data: Dataset, tmp_path: Path
) -> None:
    train(network, data, out=tmp_path / "run", **SETTINGS)
    with pytest.raises(InputError, match=f"augment \\(was {AUGMENT}, now "):
        train(
            network,
            data,
            out=tmp_path / "run",
            resume=True,
            **SETTINGS | {"augment": ""},
        )


def test_it_needs_pictures(network: Network, data: Dataset) -> None:
    rows = data._replace(name="rows", frame=Frame(1, 25, 255, 0))
    with pytest.raises(InputError, match="augment needs pictures; rows has 25"):
        train(network, rows, **SETTINGS)


def test_read_only_bytes_and_floats(network: Network, data: Dataset) -> None:
    bytes_, floats = data.train.images, data.train.images.astype(np.float32) / 255
    bytes_.flags.writeable = False
    as_floats = data._replace(train=data.train._replace(images=floats))
    one = train(network, data, **SETTINGS)
    other = train(network, as_floats, **SETTINGS)
    assert one.log[0].train_loss == pytest.approx(other.log[0].train_loss, rel=1e-5)
