"""The time to a test accuracy, of all implementations in turn, with the same recipe."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from nnx.data.dataset import Dataset
from nnx_benchmarks import data
from nnx_benchmarks.measure import Note, about, check_all, epoch_seconds, in_turn
from nnx_benchmarks.report import Report, Table, fastest_first, times
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
    """One training from the initial weights; seconds: without testing."""

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
) -> Iterator[Report]:
    """Yield a report of how long each takes until its test accuracy is the target.

    Compilation is not timed: it happens in a first epoch, which is not counted.
    """
    problem = data.problem(workload, images.train)
    checked = check_all(problem, implementations, note)
    jobs = {
        name: _trainings(target, trainer, problem, images, about(name, note))
        for name, (_, trainer) in checked.items()
        if trainer is not None
    }
    trained = in_turn(jobs, rounds, note)
    rows = []
    for name, (agreed, _) in checked.items():
        own: Sequence[Training] = trained.get(name, ())
        reached = all(training.accuracy >= target for training in own)
        seconds = [training.seconds for training in own if reached]
        rows.append(
            {"workload": key, "implementation": name}
            | (own[0]._asdict() if own else dict.fromkeys(Training._fields))
            | times(seconds, "seconds", "range")
            | agreed.as_row()
        )
    title = f"seconds to {100 * target:.2f} %: {workload}"
    title += f", learning rate {workload.learning_rate:g}"
    table = Table(title, COLUMNS, fastest_first(rows, "seconds"))
    yield Report([table], {"target": target, "recipe": workload._asdict()}, LEGEND)


def _trainings(
    target: float, trainer: Trainer, problem: Problem, images: Dataset, note: Note
) -> Iterator[Training | None]:
    """Yield None once all is compiled, and then each training to the target."""
    epoch_seconds(trainer, problem, 0)
    yield None
    while True:
        trainer.load(initial_layers(problem.workload))
        spent = accuracy = 0.0
        epoch = 0
        while accuracy < target and epoch < MOST_EPOCHS:
            spent += epoch_seconds(trainer, problem, epoch)
            epoch += 1
            accuracy = data.accuracy(trainer.layers(), problem.workload, images) or 0.0
        note(f"{spent:.2f} s, {epoch} epochs, test accuracy {accuracy:.4f}")
        yield Training(spent, epoch, accuracy)
