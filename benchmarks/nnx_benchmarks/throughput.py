"""Workloads: how fast each implementation trains, beside the matrix products alone."""

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from statistics import median
from typing import Any

from nnx.data.dataset import Dataset
from nnx_benchmarks import data
from nnx_benchmarks.floor import floor
from nnx_benchmarks.measure import REST, Note, about, check_all, epoch_seconds, in_turn
from nnx_benchmarks.report import Report, Table, fastest_first, times
from nnx_benchmarks.trainer import Implementation, Trainer
from nnx_benchmarks.workloads import Problem, Workload, initial_layers

COLUMNS = [
    ("implementation", "implementation", "{}"),
    ("ms/epoch", "ms_per_epoch", "{:.1f}"),
    ("range", "ms_range", "{0[0]:.1f}–{0[1]:.1f}"),
    ("images/s", "images_per_second", "{:,.0f}"),
    ("× floor", "over_floor", "{:.2f}"),
    ("error", "max_relative_error", "{:.1e}"),
    ("float64", "max_relative_error_float64", "{:.1e}"),
    ("100 steps", "parameters_error_after_100_steps", "{:.1e}"),
    ("accuracy", "accuracy", "{:.2%}"),
]
LEGEND = (
    "error: the largest relative error of the loss and every gradient of a first "
    "batch, in float32, and in float64 where it has that; 100 steps: of the weights "
    "after as many; all against NumPy in float64"
)
FLOOR = "matrix products"  # stands among the implementations while they run


def measure(
    workloads: Mapping[str, Workload],
    implementations: Sequence[Implementation],
    images: Dataset,
    rounds: int,
    note: Note,
) -> Report:
    """Return every implementation's speed and agreement on these workloads, by key."""
    tables, products = [], {}
    for key, workload in workloads.items():
        problem, say = data.problem(workload, images.train), about(key, note)
        checked = check_all(problem, implementations, say)
        agreeing = {name: trainer for name, (_, trainer) in checked.items() if trainer}
        spent = _spent(problem, agreeing, rounds, say)
        products[key] = {
            how: 1e3 * median(each[how] for each in spent[FLOOR])
            for how in spent[FLOOR][0]
        }
        least = min(products[key].values())
        rows = []
        for name, (agreed, trainer) in checked.items():
            timed = times(spent.get(name, ()), "ms_per_epoch", "ms_range", 1e3)
            ms = timed["ms_per_epoch"]
            rows.append(
                {"workload": key, "implementation": name}
                | timed
                | {
                    "images_per_second": ms and 1e3 * len(problem.labels) / ms,
                    "over_floor": ms and ms / least,
                    "accuracy": trainer
                    and data.accuracy(trainer.layers(), workload, images),
                }
                | agreed.as_row()
            )
        title = f"{key}: {workload}; matrix products alone {least:.1f} ms"
        tables.append(Table(title, COLUMNS, fastest_first(rows, "ms_per_epoch")))
    floors = {key: min(times.values()) for key, times in products.items()}
    return Report(tables, {"floor": floors, "products": products}, LEGEND, drawn=True)


def _spent(
    problem: Problem, trainers: Mapping[str, Trainer], rounds: int, note: Note
) -> dict[str, list[Any]]:
    """Return each one's seconds of the same epochs, and the floor's by kernels.

    All train from the same weights, one epoch of each in turn.
    """
    jobs: dict[str, Iterator[Any]] = {}
    for name, trainer in trainers.items():
        trainer.load(initial_layers(problem.workload))
        jobs[name] = map(partial(epoch_seconds, trainer, problem), count())
    with floor(problem.workload) as products:

        def rested(_: int) -> dict[str, float]:
            time.sleep(REST)
            return products(len(problem.labels))

        return in_turn(jobs | {FLOOR: map(rested, count())}, rounds, note)
