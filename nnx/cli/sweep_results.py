"""What `nnx sweep` prints, and the files that it writes at the end."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from nnx.cli import show

if TYPE_CHECKING:
    from nnx.cli.trial_runs import TrialRuns
    from nnx.data.dataset import Dataset
    from nnx.sweep.trials import Outcome, Sweep, Trial

SHOWN = 10  # trials in the table


def introduce(sweep: "Sweep", data: "Dataset", most: int, asked: int) -> None:
    """Print on stderr what is searched, and how many trials are finished.

    most: number of trials: those asked for, or fewer if the space has fewer
    """
    from nnx.sweep.trials import outcomes

    for remark in data.notes:
        show.remark(f"{data.name}: {remark}")
    every = f" (all {most} combinations)" if most < asked else ""
    several = f" · {len(sweep.seeds)} seeds each" if len(sweep.seeds) > 1 else ""
    show.remark(
        f"{data.name}: {', '.join(sweep.space)} · {len(outcomes(sweep))} of {most} "
        f"trials finished{every}{several} · {sweep.folder}"
    )


def beginning(trial: "Trial") -> str:
    """Return a line on a trial that begins, with its settings."""
    again = " resumes where it was interrupted" if trial.begun else ""
    return f"trial {trial.number}{again}: {in_words(trial.params)}"


def ending(
    trial: "Trial", finished: Sequence["Outcome"], most: int, metric: str
) -> str:
    """Return a line on a trial that ended, and on the sweep so far.

    finished: outcomes of all finished trials, the best first
    """
    [own] = [outcome for outcome in finished if outcome.number == trial.number]
    best = finished[0]
    leads = f", best {_number(best, metric)} in trial {best.number}"
    return (
        f"trial {trial.number}: {_score(own, metric)} · {len(finished)} of {most} "
        f"finished{leads if best.scores else ''}"
    )


def report(
    sweep: "Sweep", runs: "TrialRuns", metric: str, json: bool, quiet: bool
) -> None:
    """Write the best trial's settings and the picture, and print the results.

    If no trial has a score, the command exits with status 1.
    """
    from nnx import files
    from nnx.sweep.proposals import importances
    from nnx.sweep.trials import BEST_NAME, outcomes, runs_of

    finished = outcomes(sweep)
    scored = [outcome for outcome in finished if outcome.scores]
    if not scored:
        show.note(f"nnx: all {len(finished)} trials failed: narrow the space")
        raise typer.Exit(1)
    folder = runs_of(sweep, scored[0].number)[sweep.seeds[0]]
    best, shares = sweep.folder / BEST_NAME, importances(sweep.journal.study)
    files.write(best, _best(sweep, runs, scored[0], folder))
    _draw(sweep, scored, shares, metric, quiet)
    if json:
        show.as_json(_described(finished, shares, metric, folder, best))
        return
    _table(scored, metric, list(sweep.space))
    failed = len(finished) - len(scored)
    seed = f" with seed {sweep.seeds[0]}" if len(sweep.seeds) > 1 else ""
    show.line(
        f"trials: {len(finished)}{f', {failed} failed' if failed else ''}; best: trial "
        f"{scored[0].number}, {_score(scored[0], metric)}; to repeat it{seed}: nnx "
        f"train --config {show.quoted(best)}"
    )


def _best(sweep: "Sweep", runs: "TrialRuns", outcome: "Outcome", folder: Path) -> bytes:
    """Return the settings file of a trial's run, or a new one if it was deleted."""
    import tomli_w

    from nnx.sweep.space import settings_of
    from nnx.training.folder import CONFIG_NAME

    if (folder / CONFIG_NAME).is_file():
        return (folder / CONFIG_NAME).read_bytes()
    settings = settings_of(sweep.space, outcome.params)
    return tomli_w.dumps(runs.config({**settings, "seed": sweep.seeds[0]})).encode()


def _score(outcome: "Outcome", metric: str) -> str:
    """Return a validation score in words, with its deviation if there is one."""
    from nnx.training.log import METRIC_NAMES

    if not outcome.scores:
        return "failed"
    return f"validation {METRIC_NAMES[metric]} {_number(outcome, metric)}"


def _number(outcome: "Outcome", metric: str) -> str:
    from nnx.training.scores import score_text

    about = outcome.deviation
    spread = "" if about is None else f" ± {score_text(about, metric)}"
    return score_text(outcome.mean, metric) + spread


def in_words(params: Mapping[str, Any]) -> str:
    """Return settings as text, such as hidden=128,64, dropout=0.2."""
    return ", ".join(f"{name}={_short(value)}" for name, value in params.items())


def _short(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(_short, value))
    if value == "":  # no hidden layers or no distortion, as an option
        return '""'
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _table(scored: Sequence["Outcome"], metric: str, names: list[str]) -> None:
    """Print the best trials."""
    from nnx.training.log import METRIC_NAMES

    rows = [
        [str(outcome.number), _number(outcome, metric)]
        + [_short(outcome.params[name]) for name in names]
        for outcome in scored[:SHOWN]
    ]
    show.table("", ["trial", f"validation {METRIC_NAMES[metric]}", *names], rows)


def _described(
    finished: Sequence["Outcome"],
    shares: Mapping[str, float],
    metric: str,
    folder: Path,
    best: Path,
) -> dict[str, Any]:
    """Return the results for JSON, the best first; a failed trial's score is null.

    The best trial's run is null if it was deleted.
    """
    rows = [
        {
            "trial": outcome.number,
            f"validation_{metric}": outcome.mean if outcome.scores else None,
            "deviation": outcome.deviation,
            "scores": [*outcome.scores],
            "settings": {**outcome.params},
        }
        for outcome in finished
    ]
    return {
        "trials": len(finished),
        "failed": sum(not outcome.scores for outcome in finished),
        "best": rows[0],
        "importance": {**shares},
        "run": str(folder) if folder.is_dir() else None,
        "config": str(best),
        "rows": rows,
    }


def _draw(
    sweep: "Sweep",
    scored: Sequence["Outcome"],
    shares: Mapping[str, float],
    metric: str,
    quiet: bool,
) -> None:
    """Write the picture of what mattered; an error is only printed."""
    from nnx import files
    from nnx.sweep.trials import PICTURE_NAME

    if not shares:
        return
    scores = [outcome.mean for outcome in scored]
    values = {name: [outcome.params[name] for outcome in scored] for name in shares}
    log = {n for n, s in sweep.space.items() if not isinstance(s, dict) and s.log}
    try:
        from nnx.report import style
        from nnx.report.sweep import mattered

        figure = mattered(shares, values, scores, metric, log)
        content = style.encoded(figure, "png")
    except Exception as error:  # matplotlib's exceptions have no common base
        show.note(
            f"nnx: the sweep is done, but its picture could not be drawn: {error}"
        )
        return
    path = sweep.folder / PICTURE_NAME
    files.write(path, content)
    if not quiet:
        show.note(f"what mattered: {path}")
