"""What `nnx sweep` says of its trials, and leaves in the end."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

import nnx.report.sweep
from nnx.cli import sweep_results
from nnx.cli.trial_runs import TrialRuns
from nnx.data.dataset import Dataset
from nnx.settings import complete
from nnx.sweep import space, trials

pytest.importorskip("optuna", reason="no Optuna: pip install 'nnx-mlp[sweep]'")
FAILED, COUNT = 3, 13
Make = Callable[..., tuple[trials.Sweep, list[str]]]


@pytest.fixture
def swept(tmp_path: Path) -> Make:
    """Make a sweep of trials with made-up scores, and what is said after each."""

    def swept(seeds: int, failed: Callable[[int], bool]) -> Any:
        searched: space.Space = {
            "learning_rate": space.Range(0.01, 1.0, log=True),
            "dropout": space.Range(0.0, 0.9),
        }
        sweep = trials.opened(tmp_path, complete({}), searched, range(seeds), "")
        said = []
        for trial in trials.to_train(sweep, COUNT):
            for seed, run in trial.runs.items():
                run.mkdir(exist_ok=True)
                (run / "config.toml").write_text(f"# {trial.number}, {seed}\n")
            score = 0.9 - trial.params["dropout"] / 2
            scores = [score - 0.01 * seed for seed in range(seeds)]
            trials.finish(sweep, trial, [] if failed(trial.number) else scores)
            every = trials.outcomes(sweep)
            said.append(sweep_results.ending(trial, every, COUNT, "accuracy"))
        return sweep, said

    return swept


def reported(sweep: trials.Sweep, data: Dataset, **how: bool) -> None:
    runs = TrialRuns({}, sweep.space, data, None, {}, None)
    form = {"json": False, "quiet": False} | how
    sweep_results.report(sweep, runs, "accuracy", **form)


@pytest.mark.parametrize("seeds", [1, 2])
def test_trials_and_the_best_of_them(
    swept: Make, data: Dataset, capsys: pytest.CaptureFixture[str], seeds: int
) -> None:
    sweep, said = swept(seeds, lambda number: number == FAILED)
    best, *_ = every = trials.outcomes(sweep)
    spread = " ± 0.71 %" if seeds == 2 else ""
    words = f"{100 * best.mean:.2f} %{spread}"
    assert f"trial {FAILED}: failed · 4 of {COUNT} finished, best " in said[FAILED]
    assert said[-1].endswith(
        f" · 13 of 13 finished, best {words} in trial {best.number}"
    )
    sweep_results.introduce(sweep, data._replace(notes=("noted",)), COUNT, COUNT + 1)
    sweep_results.introduce(sweep, data, COUNT, COUNT)
    noted, all_of_them, introduced = capsys.readouterr().err.splitlines()
    assert noted == f"{data.name}: noted"
    assert "13 of 13 trials finished (all 13 combinations)" in all_of_them
    each = " · 2 seeds each" if seeds == 2 else ""
    assert introduced.endswith(f" 13 of 13 trials finished{each} · {sweep.folder}")
    reported(sweep, data)
    out, err = capsys.readouterr()
    heading, _, *rows, last = out.splitlines()
    assert heading.split()[:3] == ["trial", "validation", "accuracy"]
    assert [int(row.split()[0]) for row in rows] == [o.number for o in every[:10]]
    assert rows[0].split()[-1] == f"{best.params['dropout']:.4g}"
    seed = " with seed 0" if seeds == 2 else ""
    assert last == (
        f"trials: 13, 1 failed; best: trial {best.number}, validation accuracy "
        f"{words}; to repeat it{seed}: nnx train --config {sweep.folder / 'best.toml'}"
    )
    written = (sweep.folder / "best.toml").read_text()
    assert written == f"# {best.number}, 0\n"
    assert err == f"what mattered: {sweep.folder / 'sweep.png'}\n"
    assert (sweep.folder / "sweep.png").read_bytes().startswith(b"\x89PNG")
    reported(sweep, data, quiet=True)
    assert capsys.readouterr() == (out, "")


def test_a_picture_that_cannot_be_drawn(
    swept: Make,
    data: Dataset,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = list[Any]()

    def mattered(*known: Any) -> None:
        given.extend(known)
        raise ValueError("no font")

    monkeypatch.setattr(nnx.report.sweep, "mattered", mattered)
    sweep, _ = swept(1, lambda number: number == FAILED)
    reported(sweep, data, json=True, quiet=True)
    out, err = capsys.readouterr()
    assert err == (
        "nnx: the sweep is done, but its picture could not be drawn: no font\n"
    )
    found = json.loads(out)
    assert (found["trials"], found["failed"]) == (COUNT, 1)
    assert found["rows"][-1]["validation_accuracy"] is None
    shares, values, scores, metric, log = given
    assert found["importance"] == shares
    assert (max(shares, key=shares.get), metric) == ("dropout", "accuracy")
    assert log == {"learning_rate"}
    dropout = [2 * (0.9 - score) for score in scores]
    assert values["dropout"] == pytest.approx(dropout)


def test_trials_that_have_all_failed(
    swept: Make, data: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep, said = swept(1, lambda number: True)
    assert said[-1] == "trial 12: failed · 13 of 13 finished"
    with pytest.raises(typer.Exit) as ended:
        reported(sweep, data)
    assert ended.value.exit_code == 1
    assert capsys.readouterr() == ("", "nnx: all 13 trials failed: narrow the space\n")
