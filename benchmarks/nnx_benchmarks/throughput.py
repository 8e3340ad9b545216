"""Workloads: how fast each implementation trains, beside the matrix products alone."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import median
from typing import Any

from nnx.data.dataset import Dataset
from nnx_benchmarks import data
from nnx_benchmarks.floor import floor
from nnx_benchmarks.measure import REST, Note, about, check_all, epoch_seconds, in_turn
from nnx_benchmarks.report import Report, Row, Table, fastest_first, times
from nnx_benchmarks.trainer import Implementation
from nnx_benchmarks.workloads import Workload, initial_layers

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
        rows, products[key] = measure_one(
            workload, implementations, images, rounds, about(key, note)
        )
        floor = min(products[key].values())
        for row in rows:
            spent = row["ms_per_epoch"]
            row |= {"workload": key, "over_floor": spent and spent / floor}
        title = f"{key}: {workload}; matrix products alone {floor:.1f} ms"
        tables.append(Table(title, COLUMNS, fastest_first(rows, "ms_per_epoch")))
    floors = {key: min(times.values()) for key, times in products.items()}
    return Report(tables, {"floor": floors, "products": products}, LEGEND, drawn=True)


def measure_one(
    workload: Workload,
    implementations: Sequence[Implementation],
    images: Dataset,
    rounds: int,
    note: Note,
) -> tuple[list[Row], dict[str, float]]:
    """Return a row for each implementation, and the milliseconds of the products.

    Each trains the same epochs from the same weights, one epoch of each in turn,
    beginning with one that is not counted. The products are by kernels and threads.
    """
    problem = data.problem(workload, images.train)
    n = len(problem.labels)
    checked = check_all(problem, implementations, note)
    jobs: dict[str, Callable[[int], Any]] = {}
    for name, (_, trainer) in checked.items():
        if trainer is not None:
            trainer.load(initial_layers(workload))
            jobs[name] = partial(epoch_seconds, trainer, problem)
    with floor(workload) as products:

        def rested(epoch: int) -> dict[str, float]:
            time.sleep(REST)
            return products(n)

        spent = in_turn(jobs | {FLOOR: rested}, rounds, note)
    rows = []
    for name, (agreed, trainer) in checked.items():
        seconds = spent.get(name, ())
        reached = trainer and data.accuracy(trainer.layers(), workload, images)
        rows.append(
            {"implementation": name, "accuracy": reached}
            | times(seconds, "ms_per_epoch", "ms_range", 1e3)
            | {"images_per_second": n / median(seconds) if seconds else None}
            | agreed.as_row()
        )
    of_products = spent[FLOOR]
    return rows, {
        how: 1e3 * median(each[how] for each in of_products) for how in of_products[0]
    }
