"""Gaussian input noise: by hand, on every backend, and as Gaussian as it should be."""

import math

import numpy as np
import pytest

import nnx
from nnx.backend import Backend
from nnx.data.dataset import Dataset
from nnx.maths import random, steps
from nnx.maths.arrays import map_arrays
from nnx.maths.hyperparameters import Hyperparameters, Stream
from nnx.maths.state import Images, Layer, State, initial_state

HYPER = Hyperparameters(("identity",), 1.0, 50, input_noise=0.3, seed=2**63 - 3)


def noise(
    backend: Backend, shape: tuple[int, int], first: int = 0, step: int = 0
) -> np.ndarray:
    x = backend.from_numpy(np.zeros(shape))
    state = State(step, [Layer(x, x)], x, x)
    made = steps.input_noise(state, x, first, HYPER, backend.ops)
    return np.asarray(backend.to_numpy(made))


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (5, 4), (7, 785)])
def test_alike_on_every_backend(
    shape: tuple[int, int], backend: Backend, reference: Backend
) -> None:
    got, wanted = (noise(b, shape, 1024, 2**32 - 5) for b in (backend, reference))
    assert got.shape == shape
    np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-15)


def test_two_pixels_by_hand(reference: Backend) -> None:
    """Pixels 2 and 3 of image 5 are Box and Muller's of words 2 and 3 of block 0."""
    counter = [np.array([number]) for number in (0, 5, 9, Stream.NOISE)]
    words = random.philox(tuple(counter), random.key(HYPER.seed), xp=np)
    a, b = ((int(word[0]) + 0.5) / 2**32 for word in words[2:])
    radius, angle = math.sqrt(-2 * math.log(a)), 2 * math.pi * b
    expected = 0.3 * radius * math.cos(angle), 0.3 * radius * math.sin(angle)
    got = noise(reference, (2, 4), first=4, step=9)[1, 2:]
    np.testing.assert_allclose(got, expected, rtol=1e-13)


def test_it_is_gaussian_and_no_two_draws_alike(reference: Backend) -> None:
    drawn = noise(reference, (500, 784)) / 0.3
    assert abs(drawn.mean()) < 0.01
    assert drawn.std() == pytest.approx(1, abs=0.01)
    assert (drawn**4).mean() == pytest.approx(3, abs=0.05)
    assert len(np.unique(drawn)) > 0.999 * drawn.size
    pairs = drawn[:, 0::2].ravel(), drawn[:, 1::2].ravel()
    assert abs(np.corrcoef(*pairs)[0, 1]) < 0.01
    assert not np.isin(noise(reference, (20, 784), step=1) / 0.3, drawn).any()


@pytest.mark.parametrize("sizes", [(45, 70, 12, 3), (37, 13, 3), (6, 3)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_steps_are_alike_however_pixels_are_shared_out(
    sizes: tuple[int, ...], dtype: str, backend: Backend, reference: Backend
) -> None:
    """Narrow layers take a part of the pixels of other threads' images."""
    rng, network = np.random.default_rng(0), nnx.Network(sizes, "tanh", dtype=dtype)
    n = 50
    pixels = rng.integers(0, 256, (n, sizes[0])).astype(np.uint8)
    labels, order = rng.integers(0, 3, n), np.arange(n)
    hyper = HYPER._replace(
        activations=network.activation,
        pixel_scale=1 / 255,
        batch_size=20,
        input_dropout=0.2,
    )
    after = []
    for b in (backend, reference):
        layers = map_arrays(b.from_numpy, network.layers)
        state = initial_state(layers, hyper, b.ops)._replace(step=3000)
        images = Images(b.from_numpy(pixels), b.from_numpy(labels))
        state = b.run_steps(state, images, b.from_numpy(order), 3, hyper)
        after.append(map_arrays(b.to_numpy, list(state.layers)))
    bound = 1e-5 if dtype == "float32" else 1e-12
    for got, wanted in zip(*after, strict=True):
        error = np.max(np.abs(got.weight - wanted.weight))
        assert error <= bound * np.max(np.abs(wanted.weight))


def test_it_is_in_units_of_the_pixel_range(data: Dataset) -> None:
    """Noise of a raw picture is as strong as that of a scaled one."""
    network = nnx.Network([25, 3], init="zeros", dtype="float64")
    weights = []
    for pixels, factor in (("unit", 1.0), ("raw", 255.0)):
        result = nnx.train(
            network,
            data,
            epochs=1,
            batch_size="full",
            learning_rate=1.0,
            pixels=pixels,
            input_noise=0.5,
            backend="numpy",
        )
        weights.append(result.network.layers[0].weight / factor)
    np.testing.assert_allclose(*weights, rtol=1e-9)
    still = nnx.train(
        network, data, epochs=1, batch_size="full", learning_rate=1.0, backend="numpy"
    )
    assert not np.allclose(still.network.layers[0].weight, weights[0])
