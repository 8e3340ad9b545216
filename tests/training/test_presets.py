"""Presets are valid settings, and their networks are those of the table."""

import numpy as np
import pytest

from nnx import Network, train
from nnx.data.dataset import Dataset, Frame, Split
from nnx.errors import InputError
from nnx.settings import Settings, complete
from nnx.settings.table import TRAINING
from nnx.training import presets

TABLE = {
    "two-layer": ((128,), "tanh", "normal:0.01"),
    "relu-10": ((10,), "relu", "he"),
    "relu-25-25": ((25, 25), "relu", "he"),
    "tanh-1000": ((1000,), "tanh", None),
    "kaggle": ((10,), "relu", None),
    "quick": ((128,), None, None),
    "simard": ((800,), "relu", "he"),
    "dropout": ((1024,) * 3, "relu", "he"),
    "elastic": ((800,), "relu", "he"),
    "ciresan": ((2500, 2000, 1500, 1000, 500), "tanh", None),
    "fashion": ((512, 256), "relu", "he"),
}
EXACTLY = {
    "relu-10": {"batch_size": "full", "learning_rate": 0.1, "epochs": 500},
    "tanh-1000": {
        "batch_size": "full", "learning_rate": 0.02, "epochs": 100, "pixels": "raw",
    },
}  # fmt: skip


def _settings(name: str) -> Settings:
    return complete(presets.load(name), name)


def test_the_presets_are_those_of_the_table() -> None:
    assert not {*presets.names()} ^ {*TABLE}


@pytest.mark.parametrize("name", TABLE)
def test_networks(name: str) -> None:
    settings, (hidden, activation, init) = _settings(name), TABLE[name]
    assert settings["hidden"] == hidden
    assert activation is None or settings["activation"] == (activation,)
    assert init is None or settings["init"] == (init,)


@pytest.mark.parametrize("name", EXACTLY)
def test_settings_that_are_published(name: str) -> None:
    settings = _settings(name)
    assert settings.items() >= EXACTLY[name].items()


@pytest.mark.parametrize("name", TABLE)
def test_a_few_steps(name: str) -> None:
    """Of pictures of the same size, and a network of the same depth but narrow."""
    settings = _settings(name)
    assert (settings["validation_fraction"], settings["patience"]) == (0.0, 0)
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 10
    images = rng.integers(0, 256, (40, 784)).astype(np.uint8)
    part = Split(images, labels)
    data = Dataset("noise", part, part, tuple("0123456789"), Frame(28, 28, 255, 20))
    sizes = 784, *(min(width, 16) for width in settings["hidden"]), 10
    network = Network(
        sizes, settings["activation"], init=settings["init"], dtype="float64"
    )
    training = {name: v for name, v in settings.items() if name in TRAINING}
    result = train(network, data, backend="numpy", **training | {"epochs": 3})
    assert len(result.log) == 3
    assert np.isfinite(result.test_loss)


def test_l2_is_on_where_it_is_named() -> None:
    assert _settings("relu-25-25")["l2"] > 0


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(InputError, match=r"no preset is called 'x'; there are ciresan"):
        presets.load("x")
