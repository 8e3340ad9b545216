"""The log in the forms that others read: JSON, columns, TensorBoard's events."""

import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnx import Network, train
from nnx.data.dataset import Dataset
from nnx.errors import InputError
from nnx.training import loop
from nnx.training.log import Row, as_jsonl, from_csv, names

SETTINGS = {"batch_size": 16, "validation_fraction": 0.2}


def test_log_jsonl_has_the_rows_of_log_csv(
    network: Network, data: Dataset, tmp_path: Path
) -> None:
    for epochs, resume in (2, False), (4, True):
        settings = {**SETTINGS, "epochs": epochs, "resume": resume}
        result = train(network, data, out=tmp_path, **settings)
        text = (tmp_path / "log.jsonl").read_text()
        assert text.count("\n") == epochs
        rows = [json.loads(line) for line in text.splitlines()]
        assert all(list(row) == names("accuracy") for row in rows)
        log = from_csv((tmp_path / "log.csv").read_bytes(), "log.csv")
        assert tuple(Row(*row.values()) for row in rows) == log
        assert [row["test_loss"] for row in rows] == [None] * epochs
        assert [row["train_loss"] for row in rows] == [
            row.train_loss for row in result.log
        ]
    assert as_jsonl(()) == b""


def test_the_log_by_column(network: Network, data: Dataset) -> None:
    result = train(network, data, epochs=3, **SETTINGS)
    history = result.history
    assert list(history) == names("accuracy")
    assert history["epoch"].tolist() == [1, 2, 3]
    assert history["epoch"].dtype == np.int64
    assert history["train_loss"].tolist() == [row.train_loss for row in result.log]
    assert np.isnan(history["test_loss"]).all()
    none = result._replace(log=()).history
    assert {column.shape for column in none.values()} == {(0,)}


def _events(folder: Path) -> Iterator[Any]:
    """Yield the events in the folder's files: each a length, a sum, bytes, a sum."""
    from tensorboardX.proto.event_pb2 import Event

    for path in sorted((folder / "tensorboard").iterdir()):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            yield Event.FromString(content[12 : 12 + length])
            content = content[16 + length :]


def _scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for event in _events(folder):
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def test_tensorboard_has_each_epoch_once(
    network: Network, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboardX", reason="needs the extra [tensorboard]")
    monkeypatch.setattr(loop, "UPDATE_SECONDS", 0.0)  # so that it is asked each step
    how = {"out": tmp_path, "tensorboard": True, **SETTINGS}
    stop = iter([False] * 20 + [True])
    first = train(network, data, epochs=5, should_stop=lambda: next(stop), **how)
    assert 0 < len(first.log) < 5
    result = train(network, data, epochs=5, resume=True, **how)
    scalars = _scalars(tmp_path)
    assert set(scalars) == {
        "loss/train", "accuracy/train", "loss/validation", "accuracy/validation",
    }  # fmt: skip
    for tag, points in scalars.items():
        of, part = tag.split("/")
        assert [step for step, _ in points] == [1, 2, 3, 4, 5]
        column = result.history[f"{part}_{of}"]
        np.testing.assert_allclose([value for _, value in points], column, rtol=1e-6)
    times = [event.wall_time for event in _events(tmp_path) if event.summary.value]
    assert times == sorted(times)
    # A run that takes its place without events leaves none of the former's.
    train(network, data, epochs=1, out=tmp_path, overwrite=True)
    assert not _scalars(tmp_path)


def test_tensorboard_that_cannot_be_written(
    network: Network, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="tensorboard needs a folder .* give out"):
        train(network, data, tensorboard=True)
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(InputError, match=r"pip install 'nnx-mlp\[tensorboard\]'"):
        train(network, data, out=tmp_path / "run", tensorboard=True)
    assert not (tmp_path / "run").exists()


def test_a_bar_from_python_is_lines_where_there_is_no_terminal(
    network: Network, data: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[float] = []
    how = {"epochs": 2, "on_progress": lambda progress: told.append(progress.epochs)}
    train(network, data, **how)
    assert capsys.readouterr().err == ""
    train(network, data, progress=True, **how)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    assert told[-1] == 2
