"""`nnx gradcheck RUN`: the gradient of a run's own network."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer

from nnx.backend import Backend
from nnx.cli import gradcheck
from nnx.maths import activations
from nnx.maths.activations import ACTIVATIONS
from nnx.training.folder import CONFIG_NAME
from nnx.verify.own_network import ParameterCheck

Run = Callable[..., Any]
NAMES = [(1, "weight"), (1, "bias"), (2, "weight"), (2, "bias")]


def test_a_table(run: Run, old_run: Path) -> None:
    ran = run("gradcheck", old_run)
    assert (ran.returncode, ran.stderr) == (0, "")
    title, _, _, *rows, last = ran.stdout.splitlines()
    assert title.strip() == "16-5-3 on 16 training images of squares: cross-entropy"
    assert [(int(row.split()[0]), row.split()[1]) for row in rows] == NAMES
    assert rows[0].split()[2:4] == ["16×5", "80"]
    assert last.startswith("worst ")
    assert last.endswith(", below 1e-06")


def test_a_wide_table_has_room_on_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    check = ParameterCheck(
        "numpy", 12, "weight", (1024, 1024), 200, 0, 1.2e-10, 1.2e-10, 1e-6
    )
    tiny = check._replace(max_relative_error=0.5, bound=2.0)
    gradcheck._print("deep", [check, tiny])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[-2:] == [
        "layer 12 weight: its slopes are too small to compare; rounding hides them",
        "worst 5.0e-01, below the bounds above",
    ]


def test_json(run: Run, old_run: Path) -> None:
    ran = run("gradcheck", old_run / "model.safetensors", "--json")
    assert ran.returncode == 0
    found = json.loads(ran.stdout)
    rows, worst = found.pop("rows"), found.pop("worst")
    assert found == {
        "model": str(old_run / "model.safetensors"),
        "network": "16-5-3",
        "dataset": "squares",
        "images": 16,
        "minimized": {},
    }
    assert list(rows[0]) == [
        "backend", "layer", "parameter", "shape", "entries", "at_kinks", "largest",
        "max_relative_error", "bound",
    ]  # fmt: skip
    assert {row["backend"] for row in rows} == {"numpy"}
    assert [(row["layer"], row["parameter"]) for row in rows] == NAMES
    assert max(row["max_relative_error"] for row in rows) == worst < 1e-6


@pytest.mark.parametrize("weights", ["1,2,1", "0=2,2=0.5"])
def test_the_run_s_settings(run: Run, old_run: Path, weights: str) -> None:
    settings = "--l2", "0.001", "--label-smoothing", "0.1", "--class-weights", weights
    drawn = "--dropout", "0.5", "--batch-norm", "--epochs", "1", "--hidden", "5"
    run("train", "--dataset", "squares", "--out", "other", *settings, *drawn)
    ran = run("gradcheck", "other", "--json")
    assert ran.returncode == 0
    assert ran.stderr == "checked without the run's batch norm, dropout\n"
    minimized = json.loads(ran.stdout)["minimized"]
    assert list(minimized) == ["l2", "label_smoothing", "class_weights"]
    title = run("gradcheck", "other").stdout.splitlines()[0].strip()
    end = ": cross-entropy with l2=0.001, label_smoothing=0.1, class_weights="
    assert title.endswith(end + weights)


def test_a_wrong_gradient(
    old_run: Path,
    cwd: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(cwd)
    wrong = ACTIVATIONS["relu"]._replace(backward=activations.tanh_backward)
    monkeypatch.setitem(ACTIVATIONS, "relu", wrong)
    with pytest.raises(typer.Exit) as ended:
        gradcheck.gradcheck(old_run)
    assert ended.value.exit_code == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.endswith("NOT below the bound: layer 1 weight, layer 1 bias")


def test_all_backends(
    old_run: Path,
    cwd: Path,
    reference: Backend,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(cwd)
    both = [reference, replace(reference, name="other")]
    monkeypatch.setattr(gradcheck, "chosen", lambda *given: both)
    gradcheck.gradcheck(old_run, backend="all", json=True)
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["backend"] for row in rows] == ["numpy"] * 4 + ["other"] * 4


def test_remarks(run: Run, old_run: Path) -> None:
    """On what the numbers alone do not tell."""
    train = "train", "--dataset", "squares", "--epochs", "1"
    run(*train, "--init", "zeros", "--learning-rate", "1e-9", "--out", "zeros")
    lines = run("gradcheck", "zeros").stdout.splitlines()
    assert "layer 1 bias: nothing was compared: every entry drawn is at a kink" in lines
    assert "layer 2 weight: every slope is 0: these images teach it nothing" in lines
    deep = "--hidden", "9,9,9,9,9,9,9,9", "--activation", "sigmoid"
    run(*train, *deep, "--out", "deep")
    lines = run("gradcheck", "deep").stdout.splitlines()
    remark = "layer 1 weight: its slopes are so small that its bound is "
    assert any(line.startswith(remark) for line in lines)


def test_what_is_refused(refused: Callable[..., str], old_run: Path, cwd: Path) -> None:
    (cwd / "empty").mkdir()
    refused("gradcheck", "empty", says=("empty: holds no model.safetensors",))
    refused("gradcheck", "nowhere", says=("nowhere: no such file",))
    refused("gradcheck", old_run, "--dataset", "digits", says=("does not fit",))
    refused("gradcheck", old_run, "--dataset", "moon", says=("moon",))
    refused("gradcheck", "--dataset", "digits", says=("need a RUN",))
    refused("gradcheck", old_run, "--backend", "all", "--device", "0", says=("one",))
    (old_run / CONFIG_NAME).rename(cwd / "kept.toml")
    refused("gradcheck", old_run, says=("to name the data; give --dataset",))
    (old_run / CONFIG_NAME).write_text("epochs = 0\n")
    refused("gradcheck", old_run, says=(CONFIG_NAME, "epochs"))
    shutil.move(cwd / "kept.toml", old_run / CONFIG_NAME)
    model = old_run / "model.safetensors"
    content = model.read_bytes()
    model.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    refused("gradcheck", old_run, says=("damaged",))
    model.write_bytes(content[:100])
    refused("gradcheck", old_run, says=("not a safetensors file",))


def test_a_model_alone(run: Run, old_run: Path) -> None:
    (old_run / CONFIG_NAME).unlink()
    ran = run("gradcheck", old_run, "--dataset", "squares")
    assert (ran.returncode, ran.stderr) == (0, "")
