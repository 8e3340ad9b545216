"""The shortest time to a test accuracy, each with the same recipe, in turn."""

from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, NamedTuple

from nnx.data.dataset import Dataset
from nnx_benchmarks import agreement, data
from nnx_benchmarks.agreement import Agreement
from nnx_benchmarks.measure import prepared, seconds
from nnx_benchmarks.report import finite
from nnx_benchmarks.trainer import Implementation, Trainer
from nnx_benchmarks.workloads import Problem, Workload, initial_layers

MOST_EPOCHS = 40
COLUMNS = ["implementation", "seconds", "range", "epochs", "accuracy", "error"]


class Run(NamedTuple):
    """One training from the initial weights; seconds of training, not of testing."""

    seconds: float
    epochs: int
    accuracy: float


class Finish(NamedTuple):
    """One implementation's runs; none where it does not agree."""

    implementation: str
    agreement: Agreement
    runs: tuple[Run, ...]


def race(
    target: float,
    workload: Workload,
    dataset: Dataset,
    implementations: Sequence[Implementation],
    rounds: int,
    note: Callable[[str], None],
) -> list[Finish]:
    """Return how long each takes until its test accuracy is the target.

    Compilation is over before the clock runs: an epoch goes before that is not counted.
    """
    problem = data.problem(workload, dataset.train)
    wanted = agreement.reference(problem)
    note(f"{workload}: comparing {len(implementations)} with float64 …")
    checked = {i.name: prepared(i, problem, wanted) for i in implementations}
    trainers = {name: t for name, (t, _) in checked.items() if t is not None}
    runs: dict[str, list[Run]] = {name: [] for name in checked}
    for trainer in trainers.values():
        seconds(trainer, problem, 0)
    for i in range(rounds):
        for name, trainer in trainers.items():
            runs[name].append(_run(target, trainer, problem, dataset))
            last = runs[name][-1]
            note(
                f"round {i + 1} of {rounds}: {name} {last.seconds:.2f} s, "
                f"{last.epochs} epochs, test accuracy {last.accuracy:.4f}"
            )
    return [Finish(name, checked[name][1], tuple(runs[name])) for name in checked]


def _run(target: float, trainer: Trainer, problem: Problem, dataset: Dataset) -> Run:
    trainer.load(initial_layers(problem.workload))
    spent = accuracy = 0.0
    epoch = 0
    while accuracy < target and epoch < MOST_EPOCHS:
        spent += seconds(trainer, problem, epoch)
        epoch += 1
        accuracy = data.accuracy(trainer.layers(), problem.workload, dataset) or 0.0
    return Run(spent, epoch, accuracy)


def table(finishes: Sequence[Finish], target: float) -> list[list[str]]:
    """Return a row for each that agrees, fastest first."""
    agreeing = [f for f in finishes if f.runs]
    return [_cells(f, target) for f in sorted(agreeing, key=lambda f: _key(f, target))]


def without_speed(finishes: Sequence[Finish]) -> list[str]:
    """Return a line for each that is not in the table."""
    return [
        f"{f.implementation}: no speed, {f.agreement.wrong}"
        for f in finishes
        if not f.runs
    ]


def as_json(finishes: Sequence[Finish], target: float) -> list[dict[str, Any]]:
    """Return an object for each; seconds are null where the target was not reached."""
    return [
        {
            "implementation": f.implementation,
            "seconds": median(r.seconds for r in f.runs)
            if _reached(f, target)
            else None,
            "epochs": f.runs[0].epochs if f.runs else None,
            "accuracy": f.runs[0].accuracy if f.runs else None,
            "max_relative_error": finite(f.agreement.first),
            "parameters_error_after_100_steps": finite(f.agreement.after_100),
            "no_speed_because": f.agreement.wrong or None,
        }
        for f in finishes
    ]


def _reached(finish: Finish, target: float) -> bool:
    return bool(finish.runs) and all(r.accuracy >= target for r in finish.runs)


def _key(finish: Finish, target: float) -> tuple[bool, float]:
    return not _reached(finish, target), median(r.seconds for r in finish.runs)


def _cells(finish: Finish, target: float) -> list[str]:
    spent = [run.seconds for run in finish.runs]
    first = finish.runs[0]
    reached = _reached(finish, target)
    return [
        finish.implementation,
        f"{median(spent):.2f}" if reached else "not reached",
        f"{min(spent):.2f}–{max(spent):.2f}" if reached else "–",
        str(first.epochs),
        f"{100 * first.accuracy:.2f} %",
        f"{finish.agreement.first:.1e}",
    ]
