"""What `nnx train` prints before and after a run."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnx import cores
from nnx.cli import show, values

if TYPE_CHECKING:
    from nnx.training.result import Result
    from nnx.training.run import Run

# The fields of a result in the JSON object.
RESULTS = (
    "ended_early", "best_epoch", "train_loss", "train_score", "validation_loss",
    "validation_score", "test_loss", "test_score", "seconds", "images_per_second",
)  # fmt: skip
# Each part of the data in words, in the order of printing.
SPLITS = {"test": "test {}", "validation": "validation", "train": "training"}


def introduce(run: "Run", busy: float, *, resume: bool = False) -> None:
    """Print on stderr what is about to be trained, and on what.

    busy: number of cores that other programs use
    resume: whether --resume was given
    """
    from nnx.training.prepare import without_effect

    data, network, backend = run.data, run.network, run.backend
    samples, validation = run.plan.samples, ""
    if run.validation is not None:
        validation = f", {len(run.validation.labels):,} validation"
    batch, n = run.settings["batch_size"], len(data.train.labels)
    is_larger = isinstance(batch, int) and batch > n
    whole = f" · each step takes all {n}" if is_larger else ""
    if resume and not run.resumed:
        show.remark(f"nnx: nothing to resume in {run.folder} yet: starting a new run")
    if run.rounds:
        show.remark(
            f"nnx: resumed with another {', '.join(run.rounds)}: the bits may differ "
            "from those of a run without this change"
        )
    for remark in data.notes:
        show.remark(f"{data.name}: {remark}")
    show.remark(
        f"{data.name}: {n:,} training{validation} and "
        f"{len(data.test.labels):,} test {samples} · network {network}, "
        f"{network.parameters:,} parameters · {backend.name} on {backend.device}{whole}"
    )
    if window := run.plan.window:
        size = window * data.train.images[:1].nbytes
        show.remark(
            f"{data.name}: read in windows of {window:,} {samples}, "
            f"{size / 1e6:,.1f} MB each"
        )
    for remark in without_effect(network, data, run.settings):
        show.remark(f"nnx: {remark}")
    if backend.first_run.note:
        show.remark(f"{backend.name}: {backend.first_run.note}")
    # With several processes, the others are part of this run.
    if busy > cores.BUSY and run.communicator.size == 1:
        show.remark(
            f"the machine is busy: other programs use {busy:.1f} of "
            f"{cores.available()} cores, and training will take longer"
        )


def tell_way(run: "Run", quiet: bool) -> None:
    """Print on stderr how the backend takes steps, if there are several ways."""
    if run.way and not quiet:
        show.remark(f"{run.backend.name}: {run.way}")


def tell(run: "Run", result: "Result", json: bool, quiet: bool) -> None:
    """Print a run's result, and on stderr if there was nothing to do."""
    if run.resumed and not result.trained and not quiet:
        _nothing_to_do(result)
    _report(run, result, json)


def _report(run: "Run", result: "Result", json: bool) -> None:
    """Print a run's result: a table on a terminal, two lines elsewhere, or JSON."""
    from nnx.model_file import MODEL_NAME
    from nnx.training.log import METRIC_NAMES
    from nnx.training.scores import score_text

    assert run.folder is not None
    model, precision = str(run.folder / MODEL_NAME), run.settings["precision"]
    if json:
        show.as_json(_described(run, result, model))
        return
    parts = {}
    errors = values.rmse(run.data.targets, result.test_rmse)
    for split, words in SPLITS.items():
        loss, score = (getattr(result, f"{split}_{of}") for of in ("loss", "score"))
        if score is not None:
            said = score_text(score, result.metric), f"{loss:.4f}"
            parts[words.format(METRIC_NAMES[result.metric])] = said
    rounded = "" if precision == "full" else f"; precision {precision}"
    early = " (ended early)" if result.ended_early else ""
    best = f"; best epoch {result.best_epoch}" if result.best_epoch else ""
    took = (
        f"epochs: {len(result.log)}{early} in {result.seconds:.2f} s, "
        f"{result.images_per_second:,.0f} {run.plan.samples}/s{best}"
    )
    if sys.stdout.isatty():
        rows = [[words.split()[0], *scores] for words, scores in parts.items()]
        show.line("")
        show.table("", ["", METRIC_NAMES[result.metric], "loss"], rows[::-1])
        show.line(f"\ntest {errors}" if errors else "")
        show.line(f"{took}{rounded}\n")
        _files(run.folder)
        return
    lines = [f"{words} {score} (loss {loss})" for words, (score, loss) in parts.items()]
    if errors:
        lines[0] = f"{lines[0][:-1]}, {errors})"
    show.line(", ".join(lines) + rounded)
    show.line(f"{took}; model: {model}")


def _described(run: "Run", result: "Result", model: str) -> dict[str, Any]:
    """Return a run's result for JSON."""
    described = {
        "backend": run.backend.name,
        "device": run.backend.device,
        "precision": run.settings["precision"],
        "dataset": run.data.name,
        "network": str(run.network),
        "parameters": run.network.parameters,
        "epochs": len(result.log),
        "model": model,
    }
    for name in RESULTS:
        described[name.replace("score", result.metric)] = getattr(result, name)
    if result.test_rmse is not None:
        described["targets"] = [
            {"name": target.name, "test_rmse": float(rmse)}
            for target, rmse in zip(run.data.targets, result.test_rmse, strict=True)
        ]
    return described


def _files(folder: Path) -> None:
    """Print the files in a run's folder."""
    from nnx.training.folder import FILES

    show.line(str(folder))
    for name, what in FILES.items():
        if any(folder.glob(name)):
            show.line(f"  {name:<25}{what}")


def draw(run: "Run", result: "Result", quiet: bool) -> None:
    """Write the run's pictures and report; an error is only printed."""
    from nnx.cli.progress import doing
    from nnx.training.evaluate import Evaluation

    try:
        from nnx.report.write import write
    except Exception as error:  # such as an unknown matplotlib backend
        show.note(f"nnx: the run is done, but matplotlib cannot draw it: {error}")
        return
    assert run.folder is not None
    known = result.network, run.data, run.settings, result.log
    test = Evaluation(
        result.test_loss,
        result.test_score,
        result.metric,
        len(run.data.test.labels),
        rmse=result.test_rmse,
    )
    try:
        with doing("drawing pictures", quiet=quiet):
            *pictures, report = write(run.folder, "png", *known, test)
    except Exception as error:  # matplotlib's exceptions have no common base
        show.note(f"nnx: the run is done, but not all of it could be drawn: {error}")
        return
    except BaseException:
        show.note(f"nnx: the run is done; nnx plot {show.quoted(run.folder)} draws it")
        raise
    if not quiet:
        show.note(f"{len(pictures)} pictures; all on one page: {report}")


def go_on(
    run: "Run", result: "Result", device: str | None, threads: int | None
) -> None:
    """Print on stderr how to continue a run that was stopped."""
    if run.folder is None or not result.stopped:
        return
    words = ["nnx train --out", show.quoted(run.folder), "--resume"]
    # Options of the run that are not in its settings.
    for name, value in ("device", device), ("threads", threads):
        words += [] if value is None else [f"--{name} {value}"]
    words += ["--tensorboard"] if run.tensorboard else []
    show.note(f"nnx: stopped and saved; to continue: {' '.join(words)}")


def _nothing_to_do(result: "Result") -> None:
    """Print on stderr why a resumed run did not train."""
    epochs = len(result.log)
    if result.ended_early:
        show.remark(
            f"nnx: nothing to do: training ended early after epoch {epochs}, and the "
            f"weights are those of the best epoch, {result.best_epoch}"
        )
    else:
        show.remark(
            f"nnx: nothing to do: all epochs are done; --epochs {2 * epochs} would "
            "train for longer"
        )
