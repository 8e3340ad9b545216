"""The shortest time to a test accuracy, each with the same recipe, in turn."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from nnx.data.dataset import Dataset
from nnx_benchmarks import data
from nnx_benchmarks.measure import Note, check_all, epoch_seconds, in_turn
from nnx_benchmarks.report import Report, Row, Table, fastest_first, times
from nnx_benchmarks.trainer import Implementation, Trainer
from nnx_benchmarks.workloads import Problem, Workload, initial_layers

MOST_EPOCHS = 40
COLUMNS = [
    ("implementation", "implementation", "{}"),
    ("seconds", "seconds", "{:.2f}"),
    ("range", "range", "{0[0]:.2f}–{0[1]:.2f}"),
    ("epochs", "epochs", "{:d}"),
    ("accuracy", "accuracy", "{:.2%}"),
    ("error", "max_relative_error", "{:.1e}"),
]
LEGEND = f"–: not reached in {MOST_EPOCHS} epochs"


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

    def train(name: str, trainer: Trainer, number: int) -> Training | None:
        if number == 0:
            epoch_seconds(trainer, problem, 0)
            return None
        trained = _train(target, trainer, problem, images)
        note(
            f"{name}: {trained.seconds:.2f} s, {trained.epochs} epochs, "
            f"test accuracy {trained.accuracy:.4f}"
        )
        return trained

    jobs = {
        name: partial(train, name, trainer)
        for name, (_, trainer) in checked.items()
        if trainer is not None
    }
    trained = in_turn(jobs, rounds, note)
    rows = [
        {"workload": key, "implementation": name}
        | _row(target, trained.get(name, ()))
        | agreed.as_row()
        for name, (agreed, _) in checked.items()
    ]
    title = f"seconds to {100 * target:.2f} %: {workload}"
    title += f", learning rate {workload.learning_rate:g}"
    table = Table(title, COLUMNS, fastest_first(rows, "seconds"))
    return Report([table], {"target": target, "recipe": workload._asdict()}, LEGEND)


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


def _row(target: float, trained: Sequence[Training]) -> Row:
    """Return what was measured; no seconds where the target was not always reached."""
    reached = all(each.accuracy >= target for each in trained)
    seconds = [each.seconds for each in trained] if reached else []
    first = trained[0]._asdict() if trained else dict.fromkeys(Training._fields)
    return first | times(seconds, "seconds", "range")
