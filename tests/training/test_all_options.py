"""All options of training at once: cut anywhere, a run ends with the same bits."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from usable import usable

from nnx import Network, find, train
from nnx.backend import Backend
from nnx.data.dataset import Dataset
from nnx.model_file import CHECKPOINT_NAME, MODEL_NAME, load
from nnx.settings.table import TRAINING
from nnx.training import loop

EVERYTHING: dict[str, Any] = {
    "epochs": 3, "batch_size": 32, "learning_rate": 0.05, "seed": 5,
    "optimizer": "adam", "momentum": 0.9, "beta2": 0.99,
    "schedule": "cosine:warmup=1,to=0.001", "momentum_schedule": "linear:to=0.5",
    "l1": 1e-4, "l2": 1e-3, "weight_decay": 0.01, "clip_norm": 1.0, "max_norm": 2.0,
    "input_noise": 0.1, "input_dropout": 0.1, "dropout": 0.3, "label_smoothing": 0.1,
    "class_weights": "balanced", "batch_norm": True, "ema_decay": 0.9,
    "validation_fraction": 0.14, "patience": 2,
    "augment": "shift=1,rotation=20,elastic=3,sigma=1.5",
}  # fmt: skip
OTHERS: dict[str, dict[str, Any]] = {
    "everything": {},
    "plateaus": {
        "optimizer": "rmsprop", "schedule": "plateau:patience=1,factor=0.5",
        "momentum_schedule": "constant", "augment": "",
    },
    "one cycle": {
        "optimizer": "nesterov", "beta2": "auto", "schedule": "one-cycle",
        "batch_norm": False, "momentum_schedule": "dip:to=0.7", "augment": "",
    },
}  # fmt: skip
# 150 images, of which 21 are held out: four whole batches and one of a single image.
STEPS = 3 * 5


@pytest.fixture(params=["numpy", "numba", "torch", "jax"])
def some(request: pytest.FixtureRequest) -> Backend:
    return usable(request.param)


@pytest.fixture(autouse=True)
def _updates_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "UPDATE_SECONDS", 0.0)


def settings_of(name: str) -> dict[str, Any]:
    return EVERYTHING | OTHERS[name]


def run(
    folder: Path, data: Dataset, backend: Backend, name: str, *stops: int
) -> tuple[dict[str, Any], list[Any], bytes]:
    """Train, stopped after so many steps and resumed; return what the folder holds."""
    # What JAX compiles takes seconds: these runs share it with the test in float64.
    dtype = "float64" if backend.name == "jax" else "float32"
    network = Network([25, 9, 7, 3], "gelu,tanh", seed=2, dtype=dtype)
    for resumed, stop in enumerate([*stops, STEPS + 1]):
        left = iter(range(1, stop + 1))
        train(
            network,
            data,
            backend=backend,
            out=folder,
            resume=resumed > 0,
            should_stop=lambda left=left, stop=stop: next(left) == stop,
            **settings_of(name),
        )
    stored = load(folder / CHECKPOINT_NAME)
    log = [row[:-2] for row in stored.extra["log"]]
    return stored.arrays, log, (folder / MODEL_NAME).read_bytes()


def assert_same(one: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    assert one[0].keys() == other[0].keys()
    for name, array in one[0].items():
        np.testing.assert_array_equal(array, other[0][name], err_msg=name)
    assert one[1:] == other[1:]


def test_everything_is_everything() -> None:
    """What is left out is a regression's, or changes no step of these runs."""
    left_out = {
        "huber_delta", "shards", "window", "pixels", "debug_nan", "checkpoint_seconds",
        "checkpoint_steps", "keep_checkpoints",
    }  # fmt: skip
    assert {*TRAINING} - {*EVERYTHING} == left_out


def test_everything_is_in_the_checkpoint(
    data: Dataset, tmp_path: Path, reference: Backend
) -> None:
    arrays, log, _ = run(tmp_path, data, reference, "everything")
    assert len(log) == 3
    for part in (
        "state.layers.0.gamma",
        "state.optimizer_state.1.2.weight",
        "state.running_stats.1.variance",
        "state.ema.2.bias",
        "best.0.weight",
    ):
        assert np.abs(arrays[part]).max() > 0, part


@pytest.mark.parametrize("name", OTHERS)
def test_two_runs_are_the_same(
    name: str, data: Dataset, tmp_path: Path, some: Backend
) -> None:
    one, other = (run(tmp_path / each, data, some, name) for each in "ab")
    assert_same(one, other)


@pytest.mark.parametrize("name", OTHERS)
def test_stopped_after_any_step_and_resumed(
    name: str, data: Dataset, tmp_path: Path, some: Backend
) -> None:
    whole = run(tmp_path / "whole", data, some, name)
    for stop in range(1, STEPS):
        cut = run(tmp_path / f"after {stop}", data, some, name, stop)
        assert_same(whole, cut)


def test_stopped_after_every_step_and_resumed(
    data: Dataset, tmp_path: Path, some: Backend
) -> None:
    whole = run(tmp_path / "whole", data, some, "everything")
    cut = run(tmp_path / "cut", data, some, "everything", *[1] * (STEPS - 1))
    assert_same(whole, cut)


def test_every_backend_learns_the_same(data: Dataset, some: Backend) -> None:
    """In float64; Adam's steps are of one size, and rounding is thrown about little."""
    network = Network([25, 9, 7, 3], "gelu,tanh", seed=2, dtype="float64")
    for name in OTHERS:
        got, wanted = (
            train(network, data, backend=b, **settings_of(name))
            for b in (some, find("numpy"))
        )
        assert got.train_loss == pytest.approx(wanted.train_loss, rel=1e-8)
        assert got.test_loss == pytest.approx(wanted.test_loss, rel=1e-8)
