"""NaN and infinite numbers are refused, and never written over a good file."""

from pathlib import Path

import numpy as np
import pytest

from nnx import Network, dataset, evaluate
from nnx.data.dataset import Dataset
from nnx.errors import InputError
from nnx.maths.state import Layer

IMAGES = np.full((3, 4), 255, np.uint8)


def _with(value: float, layer: int = 0) -> Network:
    """Return a network with one weight that is this."""
    network = Network([4, 5, 2])
    layers = [Layer(*(array.copy() for array in each)) for each in network.layers]
    layers[layer].weight[1, 1] = value
    return network.replace(layers=layers)


@pytest.fixture
def data() -> Dataset:
    return dataset(IMAGES, [0, 1, 1], IMAGES, [0, 1, 1])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("layer", [0, 1])
def test_weights_that_are_not_finite_predict_nothing(
    value: float, layer: int, data: Dataset
) -> None:
    """A unit that is NaN may be taken for one that is off, so outputs do not tell."""
    network = _with(value, layer)
    says = f"layers.{layer}.weight holds values that are not finite"
    with pytest.raises(InputError, match=says):
        network.predict(IMAGES)
    with pytest.raises(InputError, match=says):
        network.predict_proba(IMAGES)
    with pytest.raises(InputError, match=says):
        network.activations(IMAGES)
    with pytest.raises(InputError, match=says):
        evaluate(network, data)


def test_outputs_that_overflow_are_refused(data: Dataset) -> None:
    layers = [Layer(np.full((4, 2), 3e38, np.float32), np.zeros(2, np.float32))]
    network = Network([4, 2]).replace(layers=layers)
    with np.errstate(over="ignore", invalid="ignore"):
        with pytest.raises(InputError, match="the network: output holds values"):
            network.predict(IMAGES)
        with pytest.raises(InputError, match="the loss is nan"):
            evaluate(network, data)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_network_that_is_not_finite_is_not_saved(
    value: float, tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    Network([4, 5, 2]).save(path)
    good = path.read_bytes()
    with pytest.raises(InputError, match="layers.1.weight holds values that are not"):
        _with(value, 1).save(path)
    assert path.read_bytes() == good
    assert list(tmp_path.iterdir()) == [path]


def test_floats_that_are_no_pixels_are_refused() -> None:
    network = Network([4, 5, 2])
    for floats in IMAGES.astype(float), -(IMAGES / 255):
        with pytest.raises(InputError, match=r"floats are pixels in \[0, 1\], but the"):
            network.predict(floats)
        with pytest.raises(InputError, match=r"floats are pixels in \[0, 1\], but the"):
            network.activations(floats)
    np.testing.assert_array_equal(
        network.predict(IMAGES), network.predict(IMAGES / 255)
    )


def test_floats_of_any_size_where_they_are_no_pixels() -> None:
    x = np.random.default_rng(0).normal(scale=50.0, size=(20, 4))
    data = dataset(x, np.arange(20) % 2, scale="none")
    network = Network([4, 5, 2]).replace(columns=data.columns)
    assert len(network.predict(x.astype(np.float32))) == 20
