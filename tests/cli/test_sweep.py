"""`nnx sweep`: one study by one process, and by several, one of which is killed."""

import json
import os
import re
import signal
import time
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import ANY

import pytest
from cli_files import tree

from nnx.cli.sweep_results import in_words
from nnx.errors import InputError, MissingLibraryError, WriteError
from nnx.settings import Settings, complete
from nnx.sweep import journal, proposals, space, trials

Run = Callable[..., Any]
Refused = Callable[..., str]
optuna = pytest.importorskip("optuna", reason="no Optuna: pip install 'nnx-mlp[sweep]'")
RUN = """
backend = "numpy"
batch_size = 64
epochs = 2
hidden = [8]
validation_fraction = 0.2
"""
SPACE = """
learning_rate = { low = 0.01, high = 1.0, log = true }
hidden = ["8", "16,8"]
dropout = { low = 0.0, high = 0.4, step = 0.1 }
"""
SWEEP = "sweep", "run.toml", "--space", "space.toml", "--storage", "swept"
DAMAGED = "journal.log: damaged, or not a journal of a sweep"
AGAIN = "train", "--config", "swept/best.toml", "--out", "again", "--json"


def test_a_choice_of_nothing_is_seen() -> None:
    said = in_words({"hidden": "", "augment": "shift=1", "dropout": 0.25})
    assert said == 'hidden="", augment=shift=1, dropout=0.25'


@pytest.fixture
def files(cwd: Path) -> Path:
    (cwd / "run.toml").write_text(RUN)
    (cwd / "space.toml").write_text(SPACE)
    return cwd


def studied(folder: Path) -> list[Any]:
    """Return the trials of a sweep, as Optuna itself reads them."""
    journal = optuna.storages.journal.JournalFileBackend(str(folder / "journal.log"))
    storage = optuna.storages.JournalStorage(journal)
    study = optuna.load_study(study_name="nnx sweep", storage=storage)
    assert study.direction.name == "MAXIMIZE"
    return study.trials


def opened(
    folder: Path,
    settings: Settings | None = None,
    searched: space.Space | None = None,
    seeds: Sequence[int] = (0,),
    data: str = "",
) -> trials.Sweep:
    searched = searched or {"dropout": space.Range(0.0, 0.9)}
    return trials.opened(folder, settings or complete({}), searched, seeds, data)


def check_finished(folder: Path, count: int) -> None:
    """Demand so many finished trials, each a whole run, and no settings twice."""
    trials = studied(folder)
    states = [trial.state.name for trial in trials]
    assert states == ["COMPLETE"] * count
    assert len({str(trial.params) for trial in trials}) == count
    runs = sorted(path.name for path in folder.glob("trial-*"))
    assert runs == [f"trial-{i:04d}" for i in range(count)]
    for run in runs:
        names = {path.name for path in (folder / run).iterdir()}
        whole = {"config.toml", "log.csv", "log.jsonl", "model.safetensors"}
        assert names == whole | {"checkpoint.safetensors"}


def check_best_again(run: Run, swept: dict[str, Any]) -> None:
    again = run(*AGAIN)
    assert again.returncode == 0, again.stderr
    best = swept["best"]["validation_accuracy"]
    assert json.loads(again.stdout)["validation_accuracy"] == best
    assert best == max(row["validation_accuracy"] for row in swept["rows"])


def test_a_sweep_and_its_best_trial_again(done: Run, run: Run, files: Path) -> None:
    ran = done(*SWEEP, "--trials", 4, "--json")
    assert not re.search(r"^\[I ", ran.stderr, re.M), "Optuna's own log"
    swept = json.loads(ran.stdout)
    assert (swept["trials"], swept["failed"], len(swept["rows"])) == (4, 0, 4)
    check_finished(files / "swept", 4)
    assert swept["importance"] == {}  # which four trials cannot say
    assert "picture" not in ran.stderr
    assert not (files / "swept" / "sweep.png").exists()
    check_best_again(run, swept)
    # Once all is done, the same command says the same, and more trials go on.
    ran = run(*SWEEP, "--trials", 4, "--json")
    assert json.loads(ran.stdout) == swept
    ran = done(*SWEEP, "--trials", 5)
    assert "5 of 5 finished" in ran.stderr
    assert "trials: 5; best: trial " in ran.stdout
    check_finished(files / "swept", 5)


@pytest.mark.sweep
def test_several_seeds_and_a_space_of_few_combinations(done: Run, files: Path) -> None:
    (files / "run.toml").write_text("backend = 'numpy'\nepochs = 1\nseed = 3\n")
    (files / "space.toml").write_text("hidden = [[4], [8]]\n")
    ran = done(*SWEEP, "--seeds", 2, "--json")
    assert "sets no validation_fraction: trials are compared on 0.1 of" in ran.stderr
    swept = json.loads(ran.stdout)
    assert {row["settings"]["hidden"] for row in swept["rows"]} == {"4", "8"}
    for row in swept["rows"]:
        assert row["validation_accuracy"] == pytest.approx(sum(row["scores"]) / 2)
        one, other = row["scores"]
        assert row["deviation"] == pytest.approx(abs(one - other) / 2**0.5)
    runs = sorted(path.parent.name for path in files.glob("swept/*/*/model.*"))
    assert runs == ["seed-3", "seed-3", "seed-4", "seed-4"]


@pytest.mark.sweep
def test_what_ctrl_c_stopped_is_gone_on_with(
    start: Callable[..., Any], files: Path
) -> None:
    (files / "run.toml").write_text(RUN.replace("epochs = 2", "epochs = 1000000"))
    log, epochs = files / "swept/trial-0000/log.csv", 0
    for words in "trial 0: ", "trial 0 resumes where it was interrupted: ":
        process = start(*SWEEP, "--trials", 1)
        while not log.exists() or log.read_text().count("\n") <= epochs:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
        assert process.returncode == 130, said
        assert words in said
        assert "nnx: stopped and saved; the same command continues\n" in said
        epochs = log.read_text().count("\n")
    assert [trial.state.name for trial in studied(files / "swept")] == ["RUNNING"]


def test_a_trial_is_one_process_s_until_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (trials.to_train(opened(tmp_path), 2) for _ in range(2))
    first, second = next(one), next(other)
    assert [(t.number, t.begun) for t in (first, second)] == [(0, False), (1, False)]
    trials.finish(opened(tmp_path), first, [-0.75, -0.25])  # R², and better than none
    one.close()
    assert [each.number for each in trials.outcomes(opened(tmp_path))] == [0]
    waited, pauses = list[int](), list[float]()

    def slept(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            other.close()  # its process dies

    monkeypatch.setattr(trials, "time", SimpleNamespace(sleep=slept))
    third = trials.to_train(opened(tmp_path), 2, waited.append)
    again = next(third)
    assert waited == [1]  # it is told once
    assert (again.number, again.begun, again.params) == (1, True, second.params)
    trials.finish(opened(tmp_path), again, [])
    assert list(third) == []
    scores = [list(each.scores) for each in trials.outcomes(opened(tmp_path))]
    assert scores == [[-0.75, -0.25], []]
    # Optuna has a pruned trial rank last, and takes no account of a failed one.
    known = [(trial.state.name, trial.value) for trial in studied(tmp_path)]
    assert known == [("COMPLETE", -0.5), ("PRUNED", None)]


@pytest.mark.sweep
def test_trials_that_diverge_have_failed(done: Run, files: Path) -> None:
    (files / "space.toml").write_text("learning_rate = [0.1, 999]\n")
    (files / "run.toml").write_text(RUN + "activation = 'identity'\nl2 = 0.9\n")
    ran = done(*SWEEP, "--json")
    assert " failed: training diverged" in ran.stderr
    swept = json.loads(ran.stdout)
    assert (swept["trials"], swept["failed"]) == (2, 1)
    assert swept["rows"][1]["validation_accuracy"] is None


BAD_SPACES = {
    "misspelt": ("lr = [1]", "no setting is called 'lr'; did you mean learning_rate?"),
    "empty": ("", "names no setting to search"),
    "no range": ("l2 = { low = 0.1, high = 0.1 }", "low must be below high, not 0.1"),
    "ends": ("l2 = { low = 0.5, high = 0.1 }", "low must be below high, not 0.5 and"),
    "range": ("dropout = { low = 0, high = 2 }", "a number from 0 to 0.99, not 2"),
    "choice": ("optimizer = ['sgd', 'adma']", "not 'adma': did you mean adam?"),
    "same": ("backend = ['numpy', 'numba']", "backend is the same in all trials"),
    "data": ("dataset = ['digits', 'mnist']", "dataset is the same in all trials"),
    "from": ("from = ['a', 'b']", "from is the same in all trials; leave it out"),
    "option": ("out = ['a']", "out is the same in all trials; leave it out"),
    "seed": ("seed = [0, 1]", "--seeds trains with several"),
    "none": ("hidden = []", "hidden has no choices"),
    "twice": ("hidden = ['8', [8]]", "hidden has the choice [8] twice"),
    "value": ("l2 = 0.1", "l2 = 0.1 cannot be searched: give a list of choices"),
    "key": ("l2 = { lo = 0, high = 0.1 }", "l2 has no 'lo'; did you mean low?"),
    "end": ("l2 = { high = 0.1 }", "l2 needs both low and high"),
    "words": ("init = { low = 'he', high = 'lecun' }", "init has no range of numbers"),
    "flags": ("batch_norm = { low = false, high = true }", "has no range of numbers"),
    "log": ("l2 = { low = 0, high = 0.1, log = true }", "low must be above 0"),
    "no log": ("l2 = { low = 0, high = 0.1, log = 1 }", "log is true or false, not 1"),
    "both": (
        "epochs = { low = 1, high = 9, step = 2, log = true }",
        "a range has a step or log, not both",
    ),
    "half step": ("epochs = { low = 1, high = 4, step = 1.5 }", "does not lead from 1"),
    "step": ("epochs = { low = 1, high = 9, step = 3 }", "does not lead from 1 to 9"),
    "step back": (
        "l2 = { low = 0, high = 0.5, step = -0.1 }",
        "step -0.1 does not lead",
    ),
    "flag": ("epochs = { low = 1, high = 9, step = true }", "step True does not lead"),
    "no step": ("l2 = { low = 0, high = 0.5, step = 1e-300 }", "1e-300 does not lead"),
    "fine step": (
        "learning_rate = { low = 0.1, high = 0.4, step = 1e-9 }",
        "learning_rate: step 1e-09 is too fine for numbers up to 0.4: leave it out",
    ),
    "pair": (
        "batch_norm = [false, true]\nbatch_size = [8, 1]",
        "batch_norm needs a batch_size of 2 or more",
    ),
    "alone": ("momentum_schedule = ['plateau']", "momentum_schedule cannot be plateau"),
    "TOML": ("l2 = [", "space.toml: not TOML"),
}


@pytest.mark.parametrize(("text", "says"), BAD_SPACES.values(), ids=BAD_SPACES)
def test_a_space_that_makes_no_sense(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "space.toml").write_text(text)
    with pytest.raises(InputError, match="^.*space.toml: ") as refusal:
        space.load(tmp_path / "space.toml", tomllib.loads(RUN))
    assert says in str(refusal.value)


def loaded(tmp_path: Path, text: str, **base: Any) -> space.Space:
    (tmp_path / "space.toml").write_text(text)
    return space.load(tmp_path / "space.toml", tomllib.loads(RUN) | base)


def test_what_may_be_searched(tmp_path: Path) -> None:
    searched = loaded(
        tmp_path,
        "augment = ['', 'shift=1']\npixels = ['unit', 'raw']\nepochs = ['8', 16]\n"
        "hidden = ['16, 8', []]\ndropout = { low = 0, high = 0.5 }\n"
        "l2 = { low = 0.0, high = 0.5, step = 1e-5 }\n"
        "batch_size = { low = 1, high = 20000001, step = 2 }\n",
    )
    assert searched == {
        "augment": {"": None, "shift=1": ANY},
        "pixels": {"unit": "unit", "raw": "raw"},
        "epochs": {8: 8, 16: 16},
        "hidden": {"16,8": (16, 8), "": ()},
        "dropout": space.Range(0.0, 0.5),
        "l2": space.Range(0.0, 0.5, step=1e-5),
        "batch_size": space.Range(1, 20000001, step=2),
    }
    assert space.size({"dropout": searched["dropout"]}) == float("inf")


@pytest.mark.parametrize(
    "text",
    ["hidden = ['8']", "activation = ['elu']", "init = ['he']", "dtype = ['float64']",
     "pixels = ['raw']"],
)  # fmt: skip
def test_what_comes_with_a_network_is_not_searched(tmp_path: Path, text: str) -> None:
    name = text.partition(" ")[0]
    with pytest.raises(InputError, match=f"{name} comes with the network given by fro"):
        loaded(tmp_path, text, **{"from": "old"})


def test_combinations() -> None:
    for values, count in (
        (space.Range(1, 4), 4),
        (space.Range(1, 9, step=2), 5),
        (space.Range(0.0, 0.3, step=0.1), 4),  # 0.3 / 0.1 is a little below 3
        (space.Range(0.0, 0.3), float("inf")),
    ):
        assert space.size({"a": values, "b": {1: 1, 2: 2}}) == 2 * count
    three: space.Space = {"a": {"1": 1, "2": 2, "3": 3}, "b": space.Range(4, 9)}
    assert space.ends(three) == [{"a": 1, "b": 4}, {"a": 3, "b": 9}]
    each = [(1, 4), (1, 9), (1, 4), (2, 4), (3, 4)]
    assert [*space.covering(three, 1)] == [{"a": a, "b": b} for a, b in each]
    both = [(1, 4), (1, 9), (2, 4), (2, 9), (3, 4), (3, 9)]
    assert [*space.covering(three, 2)] == [{"a": a, "b": b} for a, b in both]


def test_what_is_tried_first_depends_on_the_seed(tmp_path: Path) -> None:
    sweeps = [
        opened(tmp_path / "sweeps" / str(seed), seeds=[seed]) for seed in range(2)
    ]
    first, second = (next(trials.to_train(sweep, 1)).params for sweep in sweeps)
    assert first != second


def test_what_optuna_draws_from() -> None:
    of = optuna.distributions
    assert proposals.kinds(
        {
            "l2": space.Range(1e-4, 0.1, log=True),
            "dropout": space.Range(0.0, 0.4, step=0.1),
            "epochs": space.Range(1, 9, step=2),
            "hidden": {"8": (8,), "16,8": (16, 8)},
        }
    ) == {
        "l2": of.FloatDistribution(1e-4, 0.1, log=True),
        "dropout": of.FloatDistribution(0.0, 0.4, step=0.1),
        "epochs": of.IntDistribution(1, 9, step=2),
        "hidden": of.CategoricalDistribution(["8", "16,8"]),
    }


def finished(name: str, value: float, score: float | None) -> Any:
    """Return a trial with one setting from 0 to 1; one without a score has failed."""
    kinds = {name: optuna.distributions.FloatDistribution(0.0, 1.0)}
    state = optuna.trial.TrialState["PRUNED" if score is None else "COMPLETE"]
    return optuna.trial.create_trial(
        state=state, params={name: value}, distributions=kinds, value=score
    )


def test_what_is_tried_later_is_near_the_best() -> None:
    searched: space.Space = {"l2": space.Range(0.0, 1.0)}
    done = [finished("l2", x / 20, 1.0 - x / 20) for x in range(20)]
    seeds = 0, 1, 2, 3, 2**63 - 1
    tried = [proposals.proposed(searched, done, seed)["l2"] for seed in seeds]
    assert max(tried) < 0.3
    assert len({*tried}) == len(tried)


@pytest.mark.parametrize(
    ("scores", "importances"),
    [
        ([0.5] * 10, {}),
        ([*range(9)], {}),
        ([*range(9), None], {}),
        ([*range(10)], {"l2": 1.0}),
    ],
    ids=["equal", "few", "one failed", "enough"],
)
def test_scores_that_tell_importances(
    scores: list[float | None], importances: dict[str, float]
) -> None:
    study = optuna.create_study(direction="maximize")
    for i, score in enumerate(scores):
        study.add_trial(finished("l2", i / 10, score))
    assert proposals.importances(study) == importances


def test_what_the_command_refuses(refused: Refused, files: Path) -> None:
    refused(*SWEEP, "--trials", 0, says=("'0' is not an integer from 1",))
    refused(*SWEEP[:4], says=("Missing option '--storage'",))
    refused("sweep", "no.toml", *SWEEP[2:], says=("no.toml: cannot be read",))
    (files / "space.toml").write_text("lr = [0.1]")
    refused(*SWEEP, says=("nnx: space.toml: no setting is called 'lr'; did you mean",))
    (files / "space.toml").write_text("huber_delta = [0, 1.35]")
    refused(*SWEEP, says=("huber_delta is for a regression; digits is a class",))


def test_a_folder_that_is_no_place_for_this_sweep(tmp_path: Path) -> None:
    opened(tmp_path / "swept")
    for name in "dataset", "data_dir", "test_data", "validation_data":
        opened(tmp_path / "swept", settings=complete({name: "moved"}))
    before = tree(tmp_path)
    for other, says in (
        ({"settings": complete({"epochs": 3, "seed": 1})}, "epochs, seed"),
        ({"searched": {"l2": {0.0: 0.0, 0.1: 0.1}}}, "space"),
        ({"seeds": [0, 1]}, "seeds"),
        ({"data": "0123456789abcdef"}, "data"),
    ):
        match = f"holds another sweep, which differs in {says}; choose another"
        with pytest.raises(InputError, match=match):
            opened(tmp_path / "swept", **other)
    with pytest.raises(InputError, match="sweep.toml: cannot hold a sweep: "):
        opened(tmp_path / "swept" / "sweep.toml")
    assert tree(tmp_path) == before
    if Path("/proc/self").exists():  # where not even root may write
        with pytest.raises(InputError, match="^/proc/.sweep.lock: cannot be written: "):
            opened(Path("/proc"))


def test_of_equal_trials_the_first_is_the_better(tmp_path: Path) -> None:
    sweep = opened(tmp_path)
    for trial in trials.to_train(sweep, 3):
        trials.finish(sweep, trial, [0.5 if trial.number else 0.25])
    assert [each.number for each in trials.outcomes(sweep)] == [1, 2, 0]


def test_a_damaged_journal(tmp_path: Path) -> None:
    sweep = opened(tmp_path)
    for trial in trials.to_train(sweep, 1):
        trials.finish(sweep, trial, [0.5])
    journal = tmp_path / "journal.log"
    whole = journal.read_bytes()
    lines = whole.splitlines(keepends=True)
    for content in (
        b"no journal", b"a line\n", whole + b"\x00\n", b"5\n" + whole, whole[3:],
        lines[0] + b"{}\n" + lines[1],
    ):  # fmt: skip
        journal.write_bytes(content)
        with pytest.raises(InputError, match=f"{DAMAGED} .*; choose another --storage"):
            opened(tmp_path)
        assert journal.read_bytes() == content
    # What a full disk has cut short was never there.
    journal.write_bytes(whole + lines[1][:40])
    assert [each.scores for each in trials.outcomes(opened(tmp_path))] == [[0.5]]
    assert journal.read_bytes() == whole
    (tmp_path / "sweep.toml").unlink()
    with pytest.raises(InputError, match=r"holds a journal\.log, but no sweep\.toml"):
        opened(tmp_path)


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    with (
        pytest.raises(WriteError, match=r"journal\.log: cannot be written: no space"),
        journal.turn(tmp_path),
    ):
        raise OSError(28, "no space")
    with journal.turn(tmp_path):  # nobody holds the lock
        pass


def test_a_lock_that_is_not_released(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "PATIENCE", 0.05)
    match = "another process has locked the sweep for 0.05 s; if there is none, remove"
    with (
        journal.turn(tmp_path),
        pytest.raises(InputError, match=match),
        journal.turn(tmp_path),
    ):
        pass


def test_without_optuna(refused: Refused, files: Path, tmp_path: Path) -> None:
    (tmp_path / "optuna.py").write_text("raise ImportError('no', name='optuna')")
    paths = filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")])
    without = {"env": {"PYTHONPATH": os.pathsep.join(paths)}, "cwd": files}
    refused(*SWEEP, says=("nnx sweep needs optuna: pip install 'nnx-mlp[s",), **without)


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "find_spec", lambda name: None)
    with pytest.raises(MissingLibraryError, match="nnx sweep needs scikit-learn: pip"):
        journal.library()


def trains(process: Any, folder: Path) -> bool:
    """Return whether a process that is held has a trial under way."""
    running = [each for each in studied(folder) if each.state.name == "RUNNING"]
    locks = [folder / f"trial-{each.number:04d}/.sweep.lock" for each in running]
    own = f"{process.pid} "
    return any(lock.exists() and lock.read_text().startswith(own) for lock in locks)


def kill_in_a_trial(process: Any, folder: Path) -> None:
    """Kill a process in the middle of a trial of its own, not its first."""
    began = 0
    for line in process.stderr:
        began += re.match(r"trial \d+: learning_rate", line) is not None
        if began < 3:
            continue
        process.send_signal(signal.SIGSTOP)
        if trains(process, folder):
            break
        process.send_signal(signal.SIGCONT)
    process.kill()


@pytest.mark.sweep
def test_forty_trials_by_three_processes_one_of_them_killed(
    start: Callable[..., Any], run: Run, files: Path
) -> None:
    (files / "run.toml").write_text(RUN.replace("epochs = 2", "epochs = 3"))
    killed, *others = (start(*SWEEP, "--trials", 40, "--json") for _ in range(3))
    kill_in_a_trial(killed, files / "swept")
    [(out, said), (other_out, other_said)] = (
        process.communicate(timeout=120) for process in others
    )
    assert [process.returncode for process in others] == [0, 0], said + other_said
    assert "resumes where it was interrupted" in said + other_said
    check_finished(files / "swept", 40)
    swept = json.loads(out)
    assert swept == json.loads(other_out)
    assert swept["trials"] == 40
    assert swept["importance"].keys() == {"learning_rate", "hidden", "dropout"}
    assert sum(swept["importance"].values()) == pytest.approx(1)
    assert (files / "swept" / "sweep.png").read_bytes().startswith(b"\x89PNG")
    check_best_again(run, swept)
