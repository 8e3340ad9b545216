"""The shortest time to a test accuracy, each with the same recipe, in turn."""

import math
from collections.abc import Sequence
from functools import partial
from statistics import median
from typing import NamedTuple

from nnx.data.dataset import Dataset
from nnx_benchmarks import data
from nnx_benchmarks.agreement import Agreement
from nnx_benchmarks.measure import Note, check_all, epoch_seconds, in_turn
from nnx_benchmarks.report import Report, Row, Table, error_cell, finite
from nnx_benchmarks.trainer import Implementation, Trainer
from nnx_benchmarks.workloads import Problem, Workload, initial_layers

MOST_EPOCHS = 40
COLUMNS = ["implementation", "seconds", "range", "epochs", "accuracy", "error"]


class Training(NamedTuple):
    """One from the initial weights; seconds of training, not of testing."""

    seconds: float
    epochs: int
    accuracy: float


def measure(
    target: float,
    key: str,
    workload: Workload,
    implementations: Sequence[Implementation],
    images: Dataset,
    rounds: int,
    note: Note,
) -> Report:
    """Return how long each takes until its test accuracy is the target.

    Compilation is over before the clock runs: an epoch goes before that is not counted.
    """
    problem = data.problem(workload, images.train)
    checked = check_all(problem, implementations, note)

    def job(name: str, trainer: Trainer, number: int) -> Training | None:
        if number == 0:
            epoch_seconds(trainer, problem, 0)
            return None
        done = _train(target, trainer, problem, images)
        note(
            f"{name}: {done.seconds:.2f} s, {done.epochs} epochs, "
            f"test accuracy {done.accuracy:.4f}"
        )
        return done

    jobs = {
        name: partial(job, name, one.trainer)
        for name, one in checked.items()
        if one.trainer
    }
    done = in_turn(jobs, rounds, note)
    rows = [
        _row(target, key, name, one.agreement, done.get(name, ()))
        for name, one in checked.items()
    ]
    # Fastest first; those that did not reach it, and those without a speed, come last.
    rows.sort(key=lambda row: row.record["seconds"] or math.inf)
    title = f"seconds to {100 * target:.2f} %: {workload}"
    title += f", learning rate {workload.learning_rate:g}"
    facts = {"target": target, "recipe": workload._asdict()}
    return Report([Table(title, COLUMNS, rows)], facts)


def _train(
    target: float, trainer: Trainer, problem: Problem, images: Dataset
) -> Training:
    trainer.load(initial_layers(problem.workload))
    spent = accuracy = 0.0
    epoch = 0
    while accuracy < target and epoch < MOST_EPOCHS:
        spent += epoch_seconds(trainer, problem, epoch)
        epoch += 1
        accuracy = data.accuracy(trainer.layers(), problem.workload, images) or 0.0
    return Training(spent, epoch, accuracy)


def _row(
    target: float, key: str, name: str, agreed: Agreement, done: Sequence[Training]
) -> Row:
    """Return one implementation's row; no seconds where the target was not reached."""
    reached = bool(done) and all(each.accuracy >= target for each in done)
    seconds = [each.seconds for each in done] if reached else []
    epochs, accuracy = (done[0].epochs, done[0].accuracy) if done else (None, None)
    cells = [
        name,
        f"{median(seconds):.2f}" if seconds else "not reached",
        f"{min(seconds):.2f}–{max(seconds):.2f}" if seconds else "–",
        str(epochs),
        f"{100 * (accuracy or 0.0):.2f} %",
        error_cell(agreed.first),
    ]
    record = {
        "workload": key,
        "implementation": name,
        "seconds": median(seconds) if seconds else None,
        "epochs": epochs,
        "accuracy": accuracy,
        "max_relative_error": finite(agreed.first),
        "parameters_error_after_100_steps": finite(agreed.after_100),
    }
    return Row(name, cells, record, agreed.wrong)
