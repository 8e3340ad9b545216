"""`nnx sweep` with settings that do not train, files in its way, and trials deleted."""

import json
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_files import config, tree

from nnx.backend import Backend
from nnx.cli import sweep as command
from nnx.cli import trial_runs
from nnx.errors import InputError
from nnx.settings import as_text, complete
from nnx.sweep import journal, space, trials
from nnx.training import processes

Run = Callable[..., Any]
Refused = Callable[..., str]
pytest.importorskip("optuna", reason="no Optuna: pip install 'nnx-mlp[sweep]'")
RUN = "backend = 'numpy'\nepochs = 1\nhidden = [8]\nvalidation_fraction = 0.2\n"
SWEEP = "sweep", "run.toml", "--space", "space.toml", "--storage", "swept"
ONE_EACH = "hidden = ['8', '16,8']\nactivation = ['relu', 'relu,tanh']\n"
IN_THE_WAY = "trial-0000/config.toml", "best.toml", "sweep.png"


@pytest.fixture
def files(cwd: Path) -> Path:
    (cwd / "run.toml").write_text(RUN)
    (cwd / "space.toml").write_text("learning_rate = [0.1, 0.2, 0.3]\n")
    return cwd


def opened(folder: Path) -> trials.Sweep:
    searched: space.Space = {"dropout": space.Range(0.0, 0.9)}
    return trials.opened(folder, complete({}), searched, [0], "")


UNTRAINABLE = {
    "pair": (
        ONE_EACH,
        "activation names 2 layers, 'relu,tanh'; there are 1; in the combination "
        "hidden=8, activation=relu,tanh",
    ),
    "number": (
        f"class_weights = ['balanced', [1, 2], {[1] * 10}]",
        "class_weights has 2 numbers; digits has 10 classes",
    ),
    "class": (
        f"class_weights = ['balanced', 'zebra=2', {[1] * 10}]",
        "class_weights: digits has no class 'zebra'",
    ),
    "many pairs": (
        f"learning_rate = {[i / 1000 for i in range(1, 600)]}\n{ONE_EACH}",
        "activation names 2 layers, 'relu,tanh'; there are 1",
    ),
}


@pytest.mark.parametrize(("text", "says"), UNTRAINABLE.values(), ids=UNTRAINABLE)
def test_choices_that_cannot_be_trained(
    refused: Refused, files: Path, text: str, says: str
) -> None:
    (files / "space.toml").write_text(text)
    refused(*SWEEP, says=(f"nnx: {says}",))


def test_seeds_beyond_the_largest(refused: Refused, files: Path) -> None:
    (files / "run.toml").write_text(f"{RUN}seed = {2**63 - 1}\n")
    refused(
        *SWEEP, "--seeds", 2, says=("--seeds 2: seed must be an integer from 0 to",)
    )


def swept(files: Path, monkeypatch: pytest.MonkeyPatch, seeds: int = 1) -> None:
    """Run the command in this process, with no pair of settings checked."""
    monkeypatch.chdir(files)
    monkeypatch.setattr(trial_runs, "PAIRS", 0)
    command.sweep(Path("run.toml"), Path("space.toml"), Path("swept"), 9, seeds)


@pytest.mark.parametrize("seeds", [1, 2])
def test_a_trial_that_cannot_be_trained_has_failed(
    files: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    seeds: int,
) -> None:
    """As where there are too many pairs to check, or three settings contradict."""
    hidden = "hidden = ['16,8', '8', '4,4']\nactivation = ['relu', 'relu,tanh', 'tanh']"
    (files / "space.toml").write_text(hidden)
    swept(files, monkeypatch, seeds)
    said = capsys.readouterr()
    assert " failed: activation names 2 layers, 'relu,tanh'; there are 1" in said.err
    assert "trials: 9, 1 failed; best: trial " in said.out


def test_the_backend_has_as_many_threads_as_were_given(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of BLAS are limited besides; a backend may have others."""
    choose, told = processes.choose, list[int | None]()

    def recorded(*name: Any, **options: Any) -> Backend:
        told.append(options.get("threads"))
        return choose(*name, **options)

    monkeypatch.setattr(processes, "choose", recorded)
    monkeypatch.chdir(files)
    command.sweep(Path("run.toml"), Path("space.toml"), Path("swept"), 1, threads=1)
    assert {*told} == {1}


@pytest.mark.parametrize("gone", ["network", "folder"])
def test_what_changes_after_the_beginning(
    files: Path, monkeypatch: pytest.MonkeyPatch, done: Run, gone: str
) -> None:
    """The network of from was read; what is no trial's own fault ends the sweep."""
    done("train", "--config", "run.toml", "--out", "old")
    (files / "run.toml").write_text(
        "from = 'old'\nbackend = 'numpy'\nepochs = 1\nvalidation_fraction = 0.2\n"
    )
    introduce = command.sweep_results.introduce

    def and_then(sweep: trials.Sweep, *others: Any) -> None:
        introduce(sweep, *others)
        if gone == "network":
            shutil.rmtree(files / "old")
        else:  # a folder where a file of an interrupted trial would be
            coming = trials.to_train(sweep, 1)
            next(coming)
            coming.close()
            (files / "swept" / "trial-0000" / "log.csv").mkdir()

    monkeypatch.setattr(command.sweep_results, "introduce", and_then)
    if gone == "network":
        swept(files, monkeypatch)
    else:
        with pytest.raises(InputError, match="log.csv: "):
            swept(files, monkeypatch)
    records = journal.trials(journal.opened(files / "swept"))
    expected = {"network": {"COMPLETE"}, "folder": {"RUNNING"}}
    assert {trial.state.name for trial in records} == expected[gone]


def test_results_once_the_trials_are_deleted(done: Run, run: Run, files: Path) -> None:
    (files / "space.toml").write_text(
        "learning_rate = [0.1, 0.2]\noptimizer = ['sgd', 'adam']\n"
    )
    first = done(*SWEEP, "--json")
    for folder in (files / "swept").glob("trial-*"):
        shutil.rmtree(folder)
    (files / "swept" / "best.toml").unlink()
    again = done(*SWEEP, "--json")
    assert json.loads(again.stdout) == json.loads(first.stdout) | {"run": None}
    assert run(*SWEEP).stdout.startswith("trial validation accuracy ")
    repeat = "train", "--config", "swept/best.toml", "--out", "again", "--json"
    best = json.loads(run(*repeat).stdout)["validation_accuracy"]
    assert best == json.loads(first.stdout)["best"]["validation_accuracy"]


def test_several_seeds_and_a_regression_once_deleted(
    done: Run, run: Run, files: Path
) -> None:
    rows = "".join(f"{i},{i % 7},{3 * i - i % 7}\n" for i in range(60))
    (files / "table.csv").write_text("a,b,y\n" + rows)
    table = "dataset = 'table.csv'\ntarget = 'y'\ntask = 'regression'\nseed = 5\n"
    (files / "run.toml").write_text(RUN + table)
    (files / "space.toml").write_text("l2 = [0.0, 0.01]\n")
    first = done(*SWEEP, "--seeds", 2)
    before = complete(tomllib.loads((files / "swept" / "best.toml").read_text()))
    for folder in (files / "swept").glob("trial-*"):
        shutil.rmtree(folder)
    again = run(*SWEEP, "--seeds", 2)
    assert (again.returncode, again.stdout) == (0, first.stdout), again.stderr
    repeat = "train", "--config", "swept/best.toml", "--out", "again"
    done(*repeat)
    assert config(files / "again") == as_text(before)


def test_data_that_were_moved_and_data_that_were_changed(
    done: Run, refused: Refused, files: Path
) -> None:
    """Scores on other data cannot be compared; where the data are does not matter."""
    rows = "a,b,y\n" + "".join(f"{i},{i % 7},{3 * i - i % 7}\n" for i in range(60))
    table = "task = 'regression'\ntarget = 'y'\ndataset = 'table.csv'\n"
    (files / "run.toml").write_text(RUN + table)
    (files / "table.csv").write_text(rows)
    done(*SWEEP, "--trials", 1)
    (files / "table.csv").rename(files / "moved.csv")
    (files / "run.toml").write_text((RUN + table).replace("table.csv", "moved.csv"))
    done(*SWEEP, "--trials", 2)
    (files / "moved.csv").write_text(rows + "60,4,176\n")
    refused(*SWEEP, says=("swept: holds another sweep, which differs in data; ch",))


@pytest.mark.parametrize("name", IN_THE_WAY)
def test_files_of_one_s_own_are_not_replaced(
    refused: Refused, files: Path, name: str
) -> None:
    own = files / "swept" / name
    own.parent.mkdir(parents=True)
    own.write_text("# my own\n")
    there = f"swept: already holds {Path(name).parts[0]}, but no journal.log"
    refused(*SWEEP, says=(there, "choose another --storage"))


def test_a_folder_in_the_way_of_a_later_trial(tmp_path: Path) -> None:
    sweep = opened(tmp_path)
    coming = trials.to_train(sweep, 2)
    trials.finish(sweep, next(coming), [0.5])
    own = tmp_path / "trial-0001" / "config.toml"
    own.parent.mkdir()
    own.write_text("# my own\n")
    before = tree(own.parent)
    match = "trial-0001: already there, where a new trial's folder would be; move it"
    with pytest.raises(InputError, match=match):
        next(coming)
    assert tree(own.parent) == before
    shutil.rmtree(own.parent)
    assert next(trials.to_train(opened(tmp_path), 2)).number == 1


def test_what_a_killed_trial_left_is_gone_on_with(tmp_path: Path) -> None:
    """Its folder, before anything that could be resumed."""
    coming = trials.to_train(opened(tmp_path), 1)
    next(coming)
    (tmp_path / "trial-0000" / "config.toml").write_text("epochs = 1\n")
    coming.close()
    again = next(trials.to_train(opened(tmp_path), 1))
    assert (again.number, again.begun) == (0, True)
