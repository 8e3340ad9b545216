"""What runs print and keep if they hold images out, and if they end early."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[..., Any]
Refused = Callable[..., str]
TRAIN = "train", "--dataset", "squares", "--validation-fraction", 0.2
# Nothing can be learnt so slowly: the first epoch stays the best.
EARLY = *TRAIN, "--patience", 2, "--learning-rate", 1e-9, "--epochs", 9


def test_a_run_without_validation_is_told_as_ever(
    done: Run, old_run: Path, cwd: Path
) -> None:
    ran = done("train", "--dataset", "squares", "--epochs", 2, "--out", "a", "--json")
    found = json.loads(ran.stdout)
    assert "test loss" in ran.stderr
    assert "validation" not in ran.stderr
    header, *rows = (cwd / "a" / "log.csv").read_text().splitlines()
    assert header == (
        "epoch,train_loss,train_accuracy,validation_loss,validation_accuracy,"
        "test_loss,test_accuracy,seconds"
    )
    assert len(rows) == 2
    for row in rows:
        assert row.split(",")[3:5] == ["", ""]
        assert all(row.split(",")[5:])
    assert found["validation_loss"] is None
    assert found["ended_early"] is False


def test_validation_leaves_the_test_images_until_the_end(
    done: Run, old_run: Path, cwd: Path
) -> None:
    ran = done(*TRAIN, "--epochs", 2, "--out", "a", "--json")
    found = json.loads(ran.stdout)
    introduced, *lines = ran.stderr.splitlines()
    assert "24 training, 6 validation and 12 test images" in introduced
    assert all("validation loss" in line and "test" not in line for line in lines)
    with (cwd / "a" / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["test_loss"] + row["test_accuracy"] for row in rows] == ["", ""]
    assert found["validation_loss"] == float(rows[-1]["validation_loss"])
    assert found["validation_accuracy"] == float(rows[-1]["validation_accuracy"])
    assert found["test_accuracy"] * 12 % 1 == 0
    assert (found["ended_early"], found["best_epoch"]) == (False, None)


def test_a_run_that_ends_early(
    done: Run, refused: Refused, old_run: Path, cwd: Path
) -> None:
    ran = done(*EARLY, "--out", "a", "--json")
    found = json.loads(ran.stdout)
    rows = (cwd / "a" / "log.csv").read_text().splitlines()[1:]
    assert found["ended_early"]
    assert len(rows) == found["epochs"] == found["best_epoch"] + 2 < 9
    assert ran.stderr.splitlines()[-1].startswith(f"epoch {found['epochs']}/9 ")
    assert f"  best epoch {found['best_epoch']}  " in ran.stderr.splitlines()[-1]
    model = (cwd / "a" / "model.safetensors").read_bytes()

    again = done("train", "--out", "a", "--resume")
    assert (
        f"nnx: nothing to do: training ended early after epoch {found['epochs']}"
    ) in again.stderr
    first, second = again.stdout.splitlines()
    assert ", validation " in first
    assert second.startswith(f"epochs: {found['epochs']} (ended early) in ")
    assert f"; best epoch {found['best_epoch']}; model: a" in second
    assert (cwd / "a" / "model.safetensors").read_bytes() == model

    says = ("is of another run, which differs in patience (was 2, now 5)",)
    refused("train", "--out", "a", "--resume", "--patience", 5, says=says)
    says = ("differs in validation_fraction (was 0.2, now 0.3)",)
    refused("train", "--out", "a", "--resume", "--validation-fraction", 0.3, says=says)


def test_a_run_that_is_done_says_so_when_it_is_resumed(
    done: Run, old_run: Path
) -> None:
    before = {path: path.read_bytes() for path in old_run.iterdir()}
    for epochs in (), ("--epochs", 1):
        ran = done("train", "--out", old_run, "--resume", *epochs)
        assert "nnx: nothing to do: all epochs are done; --epochs 2" in ran.stderr
    assert {path: path.read_bytes() for path in old_run.iterdir()} == before
