"""A run's folder: which runs may resume in it, and which may not replace it."""

import time
from itertools import count
from pathlib import Path

import pytest

from nnx import Network, files, train
from nnx.data.dataset import Dataset
from nnx.errors import InputError
from nnx.model_file import CHECKPOINT_NAME, MODEL_NAME
from nnx.training import lock, loop
from nnx.training.folder import (
    LOG_JSON_NAME,
    LOG_NAME,
    RESULTS,
    default_folder,
    discard,
    load_settings,
)
from nnx.training.plan import Progress

SETTINGS = {"epochs": 3, "batch_size": 16, "learning_rate": 0.3, "l2": 1e-3, "seed": 5}


def _bits(folder: Path) -> bytes:
    return (folder / MODEL_NAME).read_bytes()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"batch_size": 8}, r"batch_size \(was 16, now 8\)"),
        ({"seed": 6}, r"seed \(was 5, now 6\)"),
        ({"learning_rate": 0.1, "l2": 0.0}, r"learning_rate .* l2 "),
    ],
)
def test_resumed_with_other_settings(
    settings: dict, words: str, network: Network, data: Dataset, tmp_path: Path
) -> None:
    train(network, data, out=tmp_path, **SETTINGS)
    before = (tmp_path / CHECKPOINT_NAME).read_bytes()
    with pytest.raises(InputError, match=words):
        train(network, data, out=tmp_path, resume=True, **SETTINGS | settings)
    assert (tmp_path / CHECKPOINT_NAME).read_bytes() == before


def test_resumed_with_settings_that_change_no_result(
    network: Network, data: Dataset, tmp_path: Path
) -> None:
    train(network, data, out=tmp_path, **SETTINGS | {"epochs": 1})
    other = {"checkpoint_seconds": 9, "checkpoint_steps": 9, "keep_checkpoints": 2}
    train(network, data, out=tmp_path, resume=True, debug_nan=True, **SETTINGS | other)
    settings = load_settings(tmp_path)
    assert {name: settings[name] for name in other} == other


def test_resumed_with_another_network_or_other_data(
    network: Network, data: Dataset, tmp_path: Path
) -> None:
    train(network, data, out=tmp_path, **SETTINGS)
    other = Network([25, 9, 3], "relu", dtype="float64")
    with pytest.raises(InputError, match=r"network .*25-7-3, now 25-9-3"):
        train(other, data, out=tmp_path, resume=True, **SETTINGS)
    changed = data._replace(test=data.train)
    with pytest.raises(
        InputError, match=r"data \(was [0-9a-f]{16}, now [0-9a-f]{16}\)"
    ):
        train(network, changed, out=tmp_path, resume=True, **SETTINGS)


def test_a_folder_that_holds_a_run(
    network: Network, data: Dataset, tmp_path: Path
) -> None:
    train(network, data, out=tmp_path, **SETTINGS)
    before = _bits(tmp_path)
    with pytest.raises(
        InputError, match=r"already holds a run .*--resume.*--overwrite"
    ):
        train(network, data, out=tmp_path, **SETTINGS)
    assert _bits(tmp_path) == before
    train(network, data, out=tmp_path, overwrite=True, **SETTINGS | {"seed": 9})
    assert _bits(tmp_path) != before


def test_nothing_to_resume_yet(network: Network, data: Dataset, tmp_path: Path) -> None:
    whole = train(network, data, out=tmp_path / "whole", **SETTINGS)
    again = train(network, data, out=tmp_path / "new", resume=True, **SETTINGS)
    assert again.trained
    assert _bits(tmp_path / "new") == _bits(tmp_path / "whole")
    # Killed before the first checkpoint, it has settings alone, and is begun by them.
    for name in RESULTS:
        (tmp_path / "new" / name).unlink()
    other = Network([25, 7, 4, 3], "tanh", seed=2, dtype="float64")
    again = train(other, data, out=tmp_path / "new", resume=True)
    assert len(again.log) == len(whole.log)
    settings = load_settings(tmp_path / "new")
    assert settings["learning_rate"] == SETTINGS["learning_rate"]
    assert (settings["hidden"], settings["dtype"]) == ((7, 4), "float64")


def test_a_result_without_its_checkpoint(
    network: Network, data: Dataset, tmp_path: Path
) -> None:
    train(network, data, out=tmp_path, **SETTINGS)
    (tmp_path / CHECKPOINT_NAME).unlink()
    before = _bits(tmp_path)
    with pytest.raises(InputError, match="already holds a run"):
        train(network, data, out=tmp_path, resume=True, **SETTINGS)
    assert _bits(tmp_path) == before
    for name in RESULTS:
        (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / "checkpoint-20.safetensors").touch()  # an earlier one is a result, too
    with pytest.raises(InputError, match=r"already holds a run \(checkpoint-20.safe"):
        train(network, data, out=tmp_path, **SETTINGS)


def test_a_model_is_not_a_checkpoint(
    network: Network, data: Dataset, tmp_path: Path
) -> None:
    train(network, data, out=tmp_path, **SETTINGS)
    network.save(tmp_path / CHECKPOINT_NAME)
    with pytest.raises(InputError, match="not a checkpoint"):
        train(network, data, out=tmp_path, resume=True, **SETTINGS)


def test_resumed_for_fewer_epochs_than_are_done(
    network: Network, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "UPDATE_SECONDS", 0.0)  # so that it is asked each step
    whole = SETTINGS | {"epochs": 3}
    train(network, data, out=tmp_path, **whole)
    with pytest.raises(InputError, match="already beyond epoch 3; epochs cannot be 2"):
        train(network, data, out=tmp_path, resume=True, **whole | {"epochs": 2})
    steps = count(1)
    train(
        network, data, out=tmp_path, overwrite=True,
        should_stop=lambda: next(steps) == 11, **whole,
    )  # fmt: skip
    with pytest.raises(InputError, match="already beyond epoch 1; epochs cannot be 1"):
        train(network, data, out=tmp_path, resume=True, **whole | {"epochs": 1})


def test_another_run_s_settings_do_not_stay_in_the_folder(
    network: Network, data: Dataset, tmp_path: Path
) -> None:
    train(network, data, out=tmp_path, **SETTINGS)
    (tmp_path / "config.toml").write_text("batch_size = 9\n")
    train(network, data, out=tmp_path, overwrite=True, **SETTINGS)
    assert load_settings(tmp_path)["batch_size"] == 16


def test_short_epochs_do_not_wait_for_the_log_s_files(
    network: Network, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, write = [], files.write

    def slow(path: Path, content: bytes) -> None:
        if path.name == LOG_NAME:
            written.append(len(content.splitlines()) - 1)
            time.sleep(0.05)
        write(path, content)

    monkeypatch.setattr(files, "write", slow)
    train(network, data, out=tmp_path, **SETTINGS | {"epochs": 100})
    assert written[0] == 1
    assert written[-1] == 100
    assert len(written) < 50


def test_what_ends_training_leaves_the_log(
    network: Network, data: Dataset, tmp_path: Path
) -> None:
    def fail(progress: Progress) -> None:
        if len(progress.position.log) == 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(
            network, data, out=tmp_path, on_progress=fail, **SETTINGS | {"epochs": 99}
        )
    for name in LOG_NAME, LOG_JSON_NAME:
        lines = (tmp_path / name).read_text().splitlines()
        assert len(lines) == 40 + (name == LOG_NAME)


def test_runs_of_the_same_second_have_folders_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    empty = default_folder("digits")
    (empty / lock.NAME).touch()  # as Windows leaves it
    discard(empty)
    assert list(tmp_path.iterdir()) == []
    first, second = default_folder("digits"), default_folder("digits")
    assert first != second
    assert first.is_dir()
    (second / "file").touch()
    discard(second)
    assert second.is_dir()
    (tmp_path / "runs").rename("old")
    (tmp_path / "runs").write_text("no folder")
    with pytest.raises(InputError, match="cannot hold a run: "):
        default_folder("digits")
