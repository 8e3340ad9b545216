"""What scripts may rely on: JSON, exit statuses, and plain text without a terminal."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from threadpoolctl import threadpool_info
from typer.testing import CliRunner

import nnx
import nnx.report.write
import nnx.training.run
from nnx import installation, training
from nnx.cli import begin, bench_report, classes, info, results, show, signals
from nnx.cli.main import app
from nnx.data.dataset import Dataset, Target
from nnx.settings import ROWS, complete
from nnx.settings.kinds import PANELS
from nnx.settings.table import FIRST
from nnx.training import presets
from nnx.training.evaluate import Evaluation

Run = Callable[..., Any]


def last_line(ran: Any) -> Any:
    return json.loads(ran.stdout.splitlines()[-1])


def test_train_json(run: Run, old_run: Path, cwd: Path) -> None:
    train = "train", "--dataset", "squares", "--hidden", "7,5", "--epochs", 3
    ran = run(*train, "--out", "runs/new", "--json")
    assert ran.returncode == 0
    result = last_line(ran)
    assert [result.pop(name) for name in ("ended_early", "best_epoch")] == [False, None]
    assert result.pop("validation_loss") is result.pop("validation_accuracy") is None
    numbers = {name: result.pop(name) for name in list(result) if "_" in name}
    assert result.pop("seconds") > 0
    assert result == {
        "backend": "numpy",
        "device": "cpu",
        "precision": "full",
        "dataset": "squares",
        "network": "16-7-5-3",
        "parameters": 16 * 7 + 7 + 7 * 5 + 5 + 5 * 3 + 3,
        "epochs": 3,
        "model": str(Path("runs/new/model.safetensors")),
    }
    assert list(numbers) == [
        "train_loss",
        "train_accuracy",
        "test_loss",
        "test_accuracy",
        "images_per_second",
    ]
    assert all(0 <= numbers[f"{part}_accuracy"] <= 1 for part in ("train", "test"))
    for line in ran.stderr.splitlines():
        assert line.startswith(("squares: ", "epoch "))
    names = {path.name for path in (cwd / "runs/new").iterdir()}
    assert {"model.safetensors", "config.toml", "log.csv"} <= names


def test_of_other_pictures_it_is_said_how_many_are_tested(
    done: Run, old_run: Path, cwd: Path
) -> None:
    """A tenth where they have no test part, as a user's own may have none."""
    x = np.random.default_rng(0).integers(0, 256, (60, 4, 4), np.uint8)
    np.savez(cwd / "mine.npz", x_train=x, y_train=np.arange(60) % 3)
    ran = done("evaluate", old_run, "--dataset", "mine.npz")
    assert "on 6 images" in ran.stdout
    assert ran.stderr.startswith("mine: no test part: 6 of 60 samples, always the same")


def test_evaluate_json(run: Run, old_run: Path) -> None:
    ran = run("evaluate", old_run, "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    result = last_line(ran)
    accuracy = result.pop("test_accuracy")
    assert 0 <= accuracy <= 1
    assert result.pop("test_loss") > 0
    confusion = np.array(result.pop("confusion"))
    assert confusion.trace() / confusion.sum() == accuracy
    classes = result.pop("classes")
    assert [entry["name"] for entry in classes] == ["0", "1", "2"]
    for i, entry in enumerate(classes):
        assert entry["images"] == confusion[i].sum() == 4
        assert entry["recall"] == confusion[i, i] / 4
        taken = confusion[:, i].sum()
        assert entry["precision"] == (confusion[i, i] / taken if taken else None)
    assert result == {
        "model": str(old_run),
        "network": "16-5-3",
        "dataset": "squares",
        "backend": "numpy",
        "images": 12,
    }


def test_predict_json(run: Run, old_run: Path, cwd: Path) -> None:
    Image.fromarray(np.eye(9, dtype=np.uint8) * 255).save(cwd / "ein Strich ü.png")
    ran = run("predict", old_run, "ein Strich ü.png", "--json")
    result = last_line(ran)
    assert list(result) == ["predictions"]
    (row,) = result["predictions"]
    assert list(row) == ["file", "label", "confidence", "probabilities", "doubt"]
    assert ran.returncode == (5 if row["doubt"] else 0)
    assert row["file"] == "ein Strich ü.png"
    assert row["label"] == "012"[int(np.argmax(row["probabilities"]))]
    assert row["confidence"] == max(row["probabilities"])
    assert sum(row["probabilities"]) == pytest.approx(1, abs=1e-5)


@pytest.mark.sweep
def test_gradcheck_json(run: Run) -> None:
    ran = run("gradcheck", "--json")
    assert ran.returncode == 0
    result = last_line(ran)
    assert list(result) == ["rows", "worst"]
    for row in result["rows"]:
        assert list(row) == ["backend", "case", "max_relative_error"]
    assert max(row["max_relative_error"] for row in result["rows"]) == result["worst"]
    assert result["worst"] < 1e-6


def test_info(run: Run) -> None:
    facts = last_line(run("info", "--json"))
    assert facts["nnx"] == nnx.__version__
    assert facts["backends"]["numpy"] == {
        "usable": True, "device": "cpu", "precisions": [],
    }  # fmt: skip
    ran = run("info")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "backend numpy: usable" in ran.stdout


def test_what_cannot_be_used_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = installation.info() | {"packages": {"numba": None}, "warning": "slow"}
    facts["backends"] = {
        "abacus": {"usable": True, "device": "wood", "precisions": ["bf16"]},
        "cupy": {"usable": False, "why": "no card"},
    }
    monkeypatch.setattr(installation, "info", lambda: facts)
    info.info()
    lines = capsys.readouterr().out.splitlines()
    assert "numba: not installed" in lines
    assert lines[-3:] == [
        "warning: slow",
        "backend abacus: usable, on wood, also in bf16",
        "backend cupy: not usable: no card",
    ]


def test_a_table_is_converted(done: Run, cwd: Path) -> None:
    (cwd / "t.csv").write_text("a,b,c\nx,1,2\ny,3,4\nz,5,6\n")
    ran = done("data", "convert", "t.csv", "t.npy", "--drop", "a, c,")
    assert ran.stdout == "t.npy: 3 rows of 1 columns, 0.0 MB\n"
    assert ran.stderr.startswith("NumPy opens it with numpy.load(")
    assert np.load(cwd / "t.npy")["b"].tolist() == [1, 3, 5]


def test_the_first_run_needs_nothing(done: Run, cwd: Path) -> None:
    ran = done("train", "--epochs", 2, "--json")
    assert last_line(ran)["dataset"] == "digits"
    (folder,) = (cwd / "runs").iterdir()
    assert folder.name.startswith("digits-2")
    done("evaluate", folder)


def test_a_folder_called_like_a_data_set_does_not_hide_it(done: Run, cwd: Path) -> None:
    (cwd / "digits").mkdir()
    done("train", "--epochs", 1, "--out", "new", "--quiet")


def test_an_accuracy_that_is_required(run: Run, old_run: Path) -> None:
    train = "train", "--dataset", "squares", "--epochs", 1, "--quiet", "--json"
    missed = run(*train, "--out", "a", "--require-accuracy", 1)
    accuracy = last_line(missed)["test_accuracy"]
    assert missed.returncode == 1
    assert missed.stderr == (
        f"nnx: test accuracy {accuracy:.4f} is below the required 1\n"
    )
    assert Path(old_run.parent / "a/model.safetensors").exists()
    reached = run(*train, "--out", "b", "--require-accuracy", accuracy)
    assert (reached.returncode, reached.stderr) == (0, "")


def test_quiet_prints_results_alone(run: Run, old_run: Path) -> None:
    ran = run("train", "--dataset", "squares", "--epochs", 2, "--quiet", "--out", "a")
    assert (ran.returncode, ran.stderr) == (0, "")
    accuracy, speed = ran.stdout.splitlines()
    assert re.match(r"test accuracy \d+\.\d\d % \(loss ", accuracy)
    assert speed.endswith("model: a/model.safetensors")


@pytest.mark.parametrize(
    "words", [["--help"], ["-h"], ["train", "--help"], ["train", "--help-all"]], ids=str
)
def test_help(run: Run, words: list[str]) -> None:
    ran = run(*words)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert re.search("Usage: .*nnx", ran.stdout)
    assert "\x1b" not in ran.stdout
    if "train" in words:
        assert "(default 20)" in ran.stdout
        assert all(name in ran.stdout for name in presets.names())
        shown = set(re.findall(r"^│ --([\w-]+)", ran.stdout, re.M))
        options = {name.replace("_", "-") for name in (*FIRST, "help_all")}
        everything = {name.replace("_", "-") for name in ROWS} | options
        if "--help-all" in words:
            assert shown > everything
            assert all(f"╭─ {panel} ─" in ran.stdout for panel in PANELS)
        else:
            assert shown == options
            assert "options: nnx train --help-all" in ran.stdout


@pytest.mark.parametrize(
    "command", ["", "sweep", "predict", "serve", "parity", "plot", "bench", "bench gpu"]
)
def test_help_fills_its_lines(run: Run, command: str) -> None:
    """And is not cut where the docstring's lines end."""
    ran = run(*command.split(), "--help", env={"COLUMNS": "80"})
    prose, _, _ = ran.stdout.partition("╭")
    lines = [line.strip() for line in prose.splitlines()]
    for line, after in pairwise(lines):
        if line and after:
            assert len(f" {line} {after.split()[0]}") > 79, line


@pytest.mark.parametrize("command", ["", "train", "predict", "data", "bench"])
def test_help_shows_no_type_of_a_flag(run: Run, command: str) -> None:
    shown = run(*command.split(), "--help").stdout
    assert re.search(r"^│ --help(-all)?[ -h]+Show", shown, re.M)
    assert "<bool>" not in shown


def test_without_a_command_help_is_shown(run: Run) -> None:
    ran = run()
    assert (ran.returncode, ran.stderr) == (
        2,
        "nnx: no command given (see nnx --help)\n",
    )
    assert re.search("Usage: .*nnx", ran.stdout)


def test_version(run: Run) -> None:
    assert run("--version").stdout == f"nnx {nnx.__version__}\n"
    script = Path(sys.executable).with_name("nnx")
    if script.exists():
        ran = subprocess.run([script, "--version"], capture_output=True, text=True)
        assert ran.stdout == f"nnx {nnx.__version__}\n"


def test_help_loads_no_heavy_library() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "nnx", "--help"]
    ran = subprocess.run(command, capture_output=True, text=True)
    loaded = {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines()}
    heavy = {"numpy", "scipy", "sklearn", "PIL", "numba", "cupy", "safetensors"}
    assert "typer" in loaded
    assert not loaded & heavy


def test_debug_shows_the_traceback(run: Run) -> None:
    ran = run("--debug", "train", "--epochs", "0")
    assert ran.returncode == 1
    assert ran.stderr.startswith("Traceback")
    assert "nnx.errors.InputError: epochs must be" in ran.stderr


def test_no_escape_characters_without_a_terminal(run: Run, old_run: Path) -> None:
    Image.new("L", (9, 9)).save(old_run / "[red]a[b.png")
    for words in (
        ["train", "--dataset", "squares", "--epochs", 2, "--out", "a"],
        ["predict", old_run, old_run / "[red]a[b.png"],
        ["data", "list"],
        ["train", "--epochs", 0],
    ):
        ran = run(*words, env={"TERM": "xterm-256color"})
        assert "\x1b" not in ran.stdout + ran.stderr
        assert "\r" not in ran.stdout + ran.stderr
        if words[0] == "predict":
            assert str(old_run / "[red]a[b.png") in ran.stdout


@pytest.mark.parametrize("command", ["data list", "info", "train --help"])
def test_a_reader_that_has_seen_enough(start: Callable[..., Any], command: str) -> None:
    process = start(*command.split())
    process.stdout.close()
    assert "nnx:" not in process.stderr.read()
    assert process.wait() == 0


@pytest.mark.parametrize("closed", [[1], [2], [1, 2]], ids=str)
def test_closed_outputs(run: Run, old_run: Path, closed: list[int]) -> None:
    ran = run(
        *["train", "--dataset", "squares", "--epochs", 1, "--out", "a", "--quiet"],
        first=f"[os.close(number) for number in {closed}]",
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (old_run.parent / "a/model.safetensors").exists()


def test_an_output_that_is_full(run: Run, old_run: Path) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    with open("/dev/full", "w") as full:
        streams = {"stdout": full, "stderr": subprocess.PIPE, "capture_output": False}
        ran = run("evaluate", old_run, **streams)
    assert ran.returncode == 2
    assert ran.stderr == "nnx: [Errno 28] No space left on device\n"


def test_an_encoding_that_lacks_characters(run: Run, old_run: Path) -> None:
    Image.new("L", (9, 9)).save(old_run / "ü.png")
    blank = ["predict", old_run, old_run / "ü.png"]
    for words, status in (["train", "--help"], 0), (blank, 5):
        ran = run(*words, env={"PYTHONIOENCODING": "ascii"})
        assert ran.returncode == status, ran.stderr
    assert r"\xfc.png" in ran.stdout


@pytest.mark.parametrize("busy", [0.1, 1.0])
def test_a_busy_machine_is_told_of(
    data: Dataset, capsys: pytest.CaptureFixture[str], busy: float
) -> None:
    run = training.run.Run(nnx.Network([25, 3]), data, complete({}), backend="numpy")
    results.introduce(run, busy)
    said = capsys.readouterr().err
    assert ("busy: other programs use 1.0 of" in said) == (busy == 1.0)


@pytest.mark.parametrize(("batch", "larger"), [(150, False), (151, True)])
def test_a_batch_larger_than_the_data_is_told_of(
    data: Dataset, capsys: pytest.CaptureFixture[str], batch: int, larger: bool
) -> None:
    settings = complete({"batch_size": batch})
    run = training.run.Run(nnx.Network([25, 3]), data, settings, backend="numpy")
    results.introduce(run, 0.0)
    end = " · each step takes all 150\n"
    assert capsys.readouterr().err.endswith(end) == larger


def test_pictures_that_ctrl_c_stopped_can_be_drawn_later(
    data: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stopped(*known: Any) -> None:
        raise signals.StoppedError(2)

    monkeypatch.setattr(nnx.report.write, "write", stopped)
    first, settings = nnx.Network([25, 3]), complete({"epochs": 1})
    run = training.run.Run(first, data, settings, backend="numpy", out=tmp_path / "a")
    with closing(run), pytest.raises(signals.StoppedError):
        results.draw(run, run.follow(), quiet=True)
    said = capsys.readouterr().err
    assert said == f"nnx: the run is done; nnx plot {tmp_path / 'a'} draws it\n"


@pytest.mark.parametrize(
    "words",
    [
        "evaluate pictures --threads 3",
        "predict pictures picture.png",
        "predict pictures pixels.csv",
        "predict values.safetensors picture.png",
        "predict values.safetensors pixels.csv",
    ],
)
def test_the_backend_that_is_given_computes_everything(
    words: str, old_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one would give the same numbers, and so not be seen."""
    numpy, pools = nnx.find("numpy"), list[dict[str, Any]]()
    threads_given = list[int | None]()

    def computed(array: Any) -> Any:
        pools.extend(threadpool_info())
        return numpy.to_numpy(array)

    def load(threads: int | None = None) -> nnx.Backend:
        threads_given.append(threads)
        return replace(numpy, to_numpy=computed)

    point = SimpleNamespace(load=lambda: load)
    monkeypatch.setattr(nnx.backend, "_offered", lambda: {"mine": point})
    monkeypatch.chdir(old_run.parent)
    old_run.rename("pictures")
    values = nnx.Network([16, 1]).replace(
        task="regression", classes=(), targets=(Target("y"),)
    )
    values.save("values.safetensors")
    Path("pixels.csv").write_text("0," * 15 + "0\n")
    Image.fromarray(np.eye(9, dtype=np.uint8) * 255).save("picture.png")
    ran = CliRunner().invoke(app, [*words.split(), "--backend", "mine"])
    assert ran.exit_code in (0, 5), ran.exception
    threads = 3 if "threads" in words else None
    assert threads_given == [threads]
    used = {pool["num_threads"] for pool in pools if pool["user_api"] == "blas"}
    assert used == {3} or threads is None


@pytest.mark.parametrize("mistakes", [0, 12])
def test_mix_ups_are_told_from_the_most_frequent_on(
    mistakes: int, data: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of 40 classes with 50 images each, where the first few are taken for the next."""
    confusion = np.eye(40, dtype=np.int64) * 50
    for i in range(mistakes):
        confusion[i, i], confusion[i, i + 1] = 49 - i, i + 1
    right, taken, there = confusion.diagonal(), confusion.sum(0), confusion.sum(1)
    found = Evaluation(
        0.1, 0.9, "accuracy", 2000, confusion, np.stack([right, taken, there])
    )
    names = tuple(f"c{i}" for i in range(40))
    classes.print_tables(data._replace(classes=names), found)
    _, heading, _, first, *lines = capsys.readouterr().out.splitlines()
    assert heading.split() == ["class", "precision", "recall", "images"]
    recall = f"{50 - bool(mistakes)}"
    assert first.split() == ["c0", "100.00", "%", f"{2 * int(recall)}.00", "%", "50"]
    if not mistakes:
        assert lines[-1] == "all images are classified correctly"
        return
    rows = [line.split() for line in lines[-10:]]
    assert rows[0] == ["c11", "c12", "12", "24.00", "%"]
    assert rows[-1] == ["c2", "c3", "3", "6.00", "%"]
    assert "the most frequent of 12 kinds of mistake; --json has all" in lines


@pytest.mark.parametrize("room", [7, 6])
def test_a_confusion_matrix_is_shown_where_it_has_room(
    room: int,
    data: Dataset,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    confusion = np.array([[9, 0, 1], [2, 8, 0], [3, 4, 3]])
    counts = np.stack([confusion.diagonal(), confusion.sum(0), confusion.sum(1)])
    monkeypatch.setattr(classes, "WIDTH", room)
    found = Evaluation(0.1, 0.9, "accuracy", 30, confusion, counts)
    classes.print_tables(data, found)
    lines = capsys.readouterr().out.splitlines()
    matrix = ["a 9 . 1", "b 2 8 .", "c 3 4 3"]
    assert (lines[-3:] == matrix) == (room == 7)


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("init", ["auto", "he"])
def test_a_regression_begins_with_smaller_weights(
    data: Dataset, task: Any, init: str
) -> None:
    given = data._replace(task=task, classes=("a", "b", "c"))
    made = begin.network(complete({"init": init, "seed": 4}), given, None)
    drawn = "glorot" if (task, init) == ("regression", "auto") else init
    wanted = nnx.Network(made.sizes, init=drawn, seed=4)
    for ours, theirs in zip(made.layers, wanted.layers, strict=True):
        np.testing.assert_array_equal(ours.weight, theirs.weight)


@pytest.mark.parametrize(("system", "quote"), [("posix", "'"), ("nt", '"')])
def test_a_command_to_copy_has_the_quotes_of_its_shell(
    system: str, quote: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(show, "os", SimpleNamespace(name=system))
    assert show.quoted(Path("my runs", "a")) == f"{quote}my runs{os.sep}a{quote}"


@pytest.mark.parametrize(
    "words",
    [
        "--workload nope",
        "--backend nothing",
        "--device 3",
        "--rounds 0",
        "--data-dir nowhere",
        "--out . --backend numpy",
        "options --workload bn-adam",
        "time-to 2",
        "whole --data-dir nowhere",
    ],
)
def test_bench_looks_at_the_machine_once_its_options_are_good(
    words: str, cwd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would say first that other programs use the cores, and then refuse."""
    said: list[str] = []
    monkeypatch.setattr(bench_report, "_say_if_busy", lambda: said.append("busy"))
    monkeypatch.setattr(show, "note", said.append)
    monkeypatch.chdir(cwd)
    (cwd / bench_report.JSON_NAME).touch()
    assert CliRunner().invoke(app, ["bench", *words.split()]).exit_code
    assert said == []
