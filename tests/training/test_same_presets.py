"""Every preset's network, from one seed: the same losses and accuracy everywhere."""

from functools import cache
from typing import NamedTuple

import numpy as np
import pytest

from nnx.backend import Backend, find
from nnx.data.dataset import Dataset, Frame, Split
from nnx.errors import BackendError
from nnx.maths import evaluation, random
from nnx.maths.optimizers import Rates
from nnx.maths.steps import Epoch, Recipe
from nnx.network import Network, to_device
from nnx.settings import config_from
from nnx.training import presets
from nnx.training.loop import on_device, start

STEPS = 100
IMAGES = 1000


class Outcome(NamedTuple):
    """The loss of each of the first steps, and the accuracy after them."""

    losses: list[float]
    accuracy: float


@cache
def digits() -> Dataset:
    """Return pictures of 28 × 28 bytes that are mostly dark, and hard to tell apart."""
    rng = np.random.default_rng(0)
    strokes = rng.random((10, 784)) < 0.15

    def split(n: int) -> Split:
        labels = rng.integers(0, 10, n)
        flipped = rng.random((n, 784)) < 0.2
        images = (strokes[labels] ^ flipped) * rng.integers(50, 256, (n, 784))
        return Split((images * (rng.random((n, 784)) < 0.6)).astype(np.uint8), labels)

    frame = Frame(28, 28, 255, 20)
    return Dataset("strokes", split(IMAGES), split(IMAGES), tuple("0123456789"), frame)


def outcome(preset: str, backend: Backend, data: Dataset) -> Outcome:
    """Train a preset for its first steps, and read the loss of each."""
    config = config_from(presets.load(preset), preset)
    n, xp = len(data.train.labels), backend.xp
    size = min(config.batch_size, n) if isinstance(config.batch_size, int) else n
    model = Network(
        (data.train.images.shape[1], *config.hidden, 10),
        config.activation,
        init=config.init,
        seed=config.seed,
    ).model._replace(pixels=config.pixels, frame=data.frame)
    scale, names = model.scale(data.train.images.dtype), model.activations
    recipe = Recipe(names, scale, size, l2=config.l2)
    rates = [Rates(float(config.learning_rate))] * -(-n // size)
    train, test = (
        on_device(part, len(data.classes), backend) for part in (data.train, data.test)
    )
    layers, losses = to_device(model.layers, backend), list[float]()
    for k in range(STEPS):
        epoch, i = divmod(k, -(-n // size))
        if i == 0:
            place = train.labels.device
            order = random.permutation(n, seed=0, epoch=epoch, xp=xp, device=place)
        state = start(layers, backend).state
        course = Epoch(order, rates, epoch * len(rates))
        state = backend.run_steps(state, train, course, i, i + 1, recipe, backend)
        layers = state.layers
        losses.append(float(backend.to_numpy(state.loss_sum)) / min(size, n - i * size))
    _, hits = evaluation.evaluate(layers, test, names, scale, backend)
    return Outcome(losses, float(backend.to_numpy(hits)) / len(data.test.labels))


@cache
def reference(preset: str) -> Outcome:
    return outcome(preset, find("numpy"), digits())


@pytest.mark.parametrize("name", ["numba", "torch", "jax"])
@pytest.mark.parametrize("preset", presets.names())
def test_a_preset(preset: str, name: str) -> None:
    try:
        backend = find(name)
    except BackendError as error:
        pytest.skip(str(error))
    expected, got = reference(preset), outcome(preset, backend, digits())
    assert expected.losses[-1] < 0.95 * expected.losses[0]
    np.testing.assert_allclose(got.losses, expected.losses, rtol=1e-4)
    assert got.accuracy == pytest.approx(expected.accuracy, abs=0.003)
