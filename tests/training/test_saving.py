"""When a run is saved, what is kept, and what may change when it is resumed."""

import time
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bits import assert_same_bits

from nnx import Network, train
from nnx.data.dataset import Dataset
from nnx.errors import DivergedError, InputError
from nnx.model_file import CHECKPOINT_NAME, MODEL_NAME, load, save
from nnx.settings import complete
from nnx.training import checkpoint, loop
from nnx.training.folder import LOG_NAME, load_settings
from nnx.training.plan import Progress
from nnx.training.run import Run
from nnx.training.saving import PAUSE, Saved, is_due

SETTINGS = {"epochs": 3, "batch_size": 16, "learning_rate": 0.3, "seed": 5}


def position(step: int, epochs: int) -> Any:
    state = type("State", (), {"step": step})
    return type("Position", (), {"state": state, "log": (None,) * epochs})


def test_when_it_is_due() -> None:
    settings = complete({})
    saved = Saved(step=100, epochs=2, at=1000.0, took=0.5)
    assert not is_due(saved, position(150, 2), settings, 1059.9)
    assert is_due(saved, position(150, 2), settings, 1060.0)
    assert not is_due(saved, position(200, 3), settings, 1000 + PAUSE * 0.5 - 0.1)
    assert is_due(saved, position(200, 3), settings, 1000 + PAUSE * 0.5)
    # The epoch's end is still to be saved in the middle of the next one.
    assert is_due(saved, position(250, 3), settings, 1000 + PAUSE * 0.5)
    asked = complete({"checkpoint_steps": 30, "checkpoint_seconds": 5})
    assert not is_due(saved, position(119, 2), asked, 1000.0)
    for step in 120, 125:  # or the first look after it
        assert is_due(saved, position(step, 2), asked, 1000.0)
    assert is_due(saved, position(119, 2), asked, 1005.0)


@pytest.fixture
def _each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "UPDATE_SECONDS", 0.0)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The steps at which checkpoints are written from now on."""
    written, save = list[int](), checkpoint.save

    def noted(path: Path, run: Run) -> None:
        written.append(run.position.state.step)
        save(path, run)

    monkeypatch.setattr(checkpoint, "save", noted)
    return written


@pytest.mark.usefixtures("_each_step")
def test_every_so_many_steps_and_the_last_are_kept(
    network: Network, data: Dataset, tmp_path: Path, steps: list[int]
) -> None:
    per_epoch = -(-len(data.train.labels) // 16)
    own = SETTINGS | {"checkpoint_steps": 3, "keep_checkpoints": 3}
    whole = train(network, data, out=tmp_path, **own)
    last = 3 * per_epoch
    assert {*range(3, last, 3), last} <= {*steps}
    assert steps == sorted({*steps})
    for step in steps[-3:-1]:
        path = tmp_path / f"checkpoint-{step}.safetensors"
        assert load(path).extra["step"] == step
    names = {path.name for path in tmp_path.glob("*checkpoint*")}
    assert len(names) == 3
    # Earlier ones are gone on from, where they take the latest one's place.
    path.replace(tmp_path / CHECKPOINT_NAME)
    (tmp_path / "checkpoint-mine.safetensors").touch()
    again = train(network, data, out=tmp_path, resume=True, **own)
    assert again.trained
    assert again.test_loss == whole.test_loss
    assert (tmp_path / "checkpoint-mine.safetensors").exists()
    # Fewer are kept as soon as fewer are asked for, and none of a run that is replaced.
    train(network, data, out=tmp_path, overwrite=True, **SETTINGS)
    names = {path.name for path in tmp_path.glob("*checkpoint*")}
    assert names == {CHECKPOINT_NAME, "checkpoint-mine.safetensors"}


@pytest.mark.usefixtures("_each_step")
def test_in_the_middle_of_a_long_epoch(
    network: Network, data: Dataset, tmp_path: Path, steps: list[int]
) -> None:
    def slow(progress: Progress) -> None:
        time.sleep(0.03)

    short = {"epochs": 1, "batch_size": 4, "checkpoint_seconds": 0.1}
    train(network, data, out=tmp_path, on_progress=slow, **short)
    assert len(steps) > 3
    assert max(np.diff([0, *steps])) < 20


def test_short_epochs_lose_little_to_saving(
    network: Network, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    took, save = list[float](), checkpoint.save

    def slow(path: Path, run: Run) -> None:
        took.append(0.02)
        time.sleep(0.02)
        save(path, run)

    monkeypatch.setattr(checkpoint, "save", slow)
    began = time.monotonic()
    epochs = 100
    train(network, data, out=tmp_path, **SETTINGS | {"epochs": epochs})
    seconds = time.monotonic() - began
    assert len(took) <= 2 + seconds / (0.02 * PAUSE)
    assert len((tmp_path / LOG_NAME).read_text().splitlines()) == 1 + epochs


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, InputError])
@pytest.mark.usefixtures("_each_step")
def test_what_ends_training_loses_nothing(
    network: Network, data: Dataset, tmp_path: Path, error: type[BaseException]
) -> None:
    """As a notebook's interrupt does, in the middle of an epoch."""
    calls = count(1)

    def fail(progress: Progress) -> None:
        if next(calls) == 9:
            raise error

    with pytest.raises(error):
        train(network, data, out=tmp_path / "cut", on_progress=fail, **SETTINGS)
    assert load(tmp_path / "cut" / CHECKPOINT_NAME).extra["step"] == 9
    train(network, data, out=tmp_path / "cut", resume=True, **SETTINGS)
    train(network, data, out=tmp_path / "whole", **SETTINGS)
    one, other = (tmp_path / name / MODEL_NAME for name in ("cut", "whole"))
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
def test_what_diverges_is_not_saved_but_logged(data: Dataset, tmp_path: Path) -> None:
    network = Network([25, 7, 3], "identity")
    settings = {"batch_size": 50, "learning_rate": 10, "l2": 0.9, "epochs": 500}
    with pytest.raises(DivergedError):
        train(network, data, out=tmp_path, **settings)
    stored = load(tmp_path / CHECKPOINT_NAME)
    logged = len((tmp_path / LOG_NAME).read_text().splitlines()) - 1
    assert 1 <= len(stored.extra["log"]) <= logged


@pytest.mark.usefixtures("_each_step")
def test_the_network_in_a_checkpoint_is_the_best(
    network: Network, data: Dataset, tmp_path: Path
) -> None:
    """What a run would come to that is killed here."""
    own = SETTINGS | {"validation_fraction": 0.3, "patience": 50, "epochs": 30}
    own["learning_rate"] = 1.9
    ended = count(1)
    result = train(
        network, data, out=tmp_path, should_stop=lambda: next(ended) == 90, **own
    )
    assert result.stopped
    assert result.best_epoch < len(result.log)
    found = Network.load(tmp_path / CHECKPOINT_NAME)
    assert_same_bits(found.layers, result.network.layers)


def test_a_checkpoint_of_an_earlier_nnx_is_gone_on_with(
    network: Network, data: Dataset, tmp_path: Path
) -> None:
    """It lacks a setting, and has another name for an array."""
    whole = train(network, data, **SETTINGS)
    train(network, data, out=tmp_path, **SETTINGS | {"epochs": 1})
    stored = load(tmp_path / CHECKPOINT_NAME)
    del stored.extra["settings"]["clip_norm"]
    arrays = {**stored.arrays}
    arrays["state.correct"] = arrays.pop("state.score_sum")
    save(tmp_path / CHECKPOINT_NAME, stored.network, arrays, stored.extra)
    with pytest.raises(InputError, match=r"clip_norm \(was None, now 1.0\)"):
        train(network, data, out=tmp_path, resume=True, clip_norm=1.0, **SETTINGS)
    again = train(network, data, out=tmp_path, resume=True, **SETTINGS)
    assert_same_bits(again.network.layers, whole.network.layers)


@pytest.mark.parametrize("dtypes", [("float32", "float64"), ("float64", "float32")])
def test_resumed_in_another_dtype(
    data: Dataset, tmp_path: Path, dtypes: tuple[str, str]
) -> None:
    own = SETTINGS | {"optimizer": "adam", "learning_rate": 0.01, "batch_norm": True}
    own |= {"validation_fraction": 0.3, "patience": 9}
    before, now = (Network([25, 7, 3], "tanh", seed=2, dtype=name) for name in dtypes)
    whole = train(before, data, **own)
    train(before, data, out=tmp_path, **own | {"epochs": 1})
    train(now, data, out=tmp_path, resume=True, **own)
    found, wanted = Network.load(tmp_path).layers[0].weight, whole.network.layers[0]
    assert found.dtype == dtypes[1]
    np.testing.assert_allclose(found, wanted.weight, rtol=1e-3, atol=1e-4)
    assert load_settings(tmp_path)["dtype"] == dtypes[1]


def test_what_rounds_otherwise_is_told(
    network: Network, data: Dataset, tmp_path: Path
) -> None:
    settings = complete(SETTINGS)
    run = Run(network, data, settings, backend="numpy", out=tmp_path)
    run.follow()
    run.close()

    def resumed(backend: str, network: Network, **own: Any) -> tuple[str, ...]:
        how: dict[str, Any] = {"backend": backend, "out": tmp_path, "resume": True}
        run = Run(network, data, {**settings, **own}, **how)
        run.close()
        return run.rounds

    assert resumed("numpy", network) == ()
    pytest.importorskip("numba")
    assert resumed("numba", network) == ("backend (was numpy, now numba)",)
    double = Network([25, 7, 3], "tanh", seed=2, dtype="float64")
    assert resumed("numpy", double) == ("dtype (was float32, now float64)",)


@pytest.mark.parametrize(
    "changed",
    [
        {"step": 10**9},
        {"step": -1},
        {"step": 7.0},
        {"seconds": -1.0},
        {"seconds": 0.0},
        {"seconds": 1e300},
        {"seconds": "nan"},
        {"log": []},
        {"log": [[1, *[0.5] * 7, "accuracy"]]},
        {"log": [[1, *[0.5] * 7, "r2"], [2, *[0.5] * 7, "r2"]]},
        {"log": [[1, *[0.5] * 7, "accuracy"], [1, *[0.5] * 7, "accuracy"]]},
        {"log": [[1, *[None] * 7, "accuracy"], [2, *[0.5] * 7, "accuracy"]]},
        {"log": [[1, *["0.5"] * 7, "accuracy"], [2, *[0.5] * 7, "accuracy"]]},
        {"log": 5},
    ],
    ids=str,
)
def test_a_forged_position_is_not_continued(
    tmp_path: Path, changed: dict[str, Any]
) -> None:
    """It could train for ever, or end in a traceback."""
    network, path = Network([64, 10]), tmp_path / CHECKPOINT_NAME
    train(network, "digits", epochs=2, batch_size="full", out=tmp_path)
    stored = load(path)
    save(path, stored.network, stored.arrays, stored.extra | changed)
    with pytest.raises(InputError, match="not a checkpoint") as refused:
        train(network, "digits", epochs=4, out=tmp_path, resume=True)
    assert "\n" not in str(refused.value)
