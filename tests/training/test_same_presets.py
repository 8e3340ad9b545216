"""Every preset's network, from one seed: the same losses and accuracy everywhere."""

from functools import cache
from itertools import islice
from typing import NamedTuple

import numpy as np
import pytest
from usable import usable

from nnx.backend import Backend, find
from nnx.data.dataset import Dataset, Frame, Split
from nnx.maths.network import inference_layers
from nnx.network import Network
from nnx.settings import complete
from nnx.training import loop, presets
from nnx.training.run import Run

STEPS, FEW = 100, 5
# Those whose steps take seconds.
LONG = "tanh-1000", "ciresan", "elastic", "fashion"
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


def outcome(
    preset: str, backend: Backend, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> Outcome:
    """Train a preset for its first steps, with all its options, and read each loss."""
    monkeypatch.setattr(loop, "UPDATE_SECONDS", 0.0)  # so that it tells of every step
    settings = complete(presets.load(preset), preset)
    # With momentum, float32's rounding grows beyond the bound in a hundred steps; Adam
    # makes that of a gradient which is nearly nothing as large as any step.
    network = Network(
        (784, *settings["hidden"], 10),
        settings["activation"],
        init=settings["init"],
        dtype="float64" if settings["momentum"] else settings["dtype"],
    )
    # Long enough for so many steps of a few images.
    settings["epochs"] = max(settings["epochs"], STEPS)
    run = Run(network, data, settings, backend=backend)
    plan, losses, total, seen = run.plan, list[float](), 0.0, 0
    for progress in islice(run, _steps(preset)):
        ended = progress.epoch_ended
        n = plan.images if ended else plan.images_done(progress.position)
        losses.append((progress.loss * n - total) / (n - seen))
        total, seen = (0.0, 0) if ended else (progress.loss * n, n)
    layers = inference_layers(run.position.state, xp=backend.xp)
    return Outcome(losses, loop.score(plan, layers, plan.monitored).score)


def _steps(preset: str) -> int:
    """Return how many are compared: a few of those that are for patient users."""
    hidden = complete(presets.load(preset), preset)["hidden"]
    return STEPS if sum(hidden) < 1000 or preset == "tanh-1000" else FEW


@pytest.fixture(scope="module")
def reference() -> dict[str, Outcome]:
    """Keep what NumPy made of each preset."""
    return {}


@pytest.mark.parametrize(
    "preset",
    [
        pytest.param(name, marks=pytest.mark.sweep if name in LONG else ())
        for name in presets.names()
    ],
)
@pytest.mark.parametrize("name", ["numba", "torch", "jax"])
def test_a_preset(
    preset: str,
    name: str,
    reference: dict[str, Outcome],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backend = usable(name)
    if preset not in reference:
        reference[preset] = outcome(preset, find("numpy"), digits(), monkeypatch)
    expected = reference[preset]
    got = outcome(preset, backend, digits(), monkeypatch)
    assert len(got.losses) == _steps(preset)
    np.testing.assert_allclose(got.losses, expected.losses, rtol=1e-4)
    assert got.accuracy == pytest.approx(expected.accuracy, abs=0.003)
    if _steps(preset) == STEPS:
        assert got.losses[-1] < 0.95 * got.losses[0]
