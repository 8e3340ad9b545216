"""Workloads: how fast each implementation trains, beside the matrix products alone."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import median
from typing import Any, NamedTuple

from nnx.data.dataset import Dataset
from nnx_benchmarks import data
from nnx_benchmarks.agreement import Agreement
from nnx_benchmarks.floor import floor
from nnx_benchmarks.measure import (
    REST,
    Note,
    about,
    check_all,
    epoch_seconds,
    in_turn,
)
from nnx_benchmarks.report import (
    Report,
    Row,
    Table,
    epoch_cells,
    epoch_record,
    error_cell,
    finite,
)
from nnx_benchmarks.trainer import Implementation
from nnx_benchmarks.workloads import Workload, initial_layers

COLUMNS = [
    "implementation", "ms/epoch", "range", "images/s", "× floor", "error", "float64",
    "100 steps", "accuracy",
]  # fmt: skip
FLOOR = "matrix products"  # stands among the implementations while they run
LEGEND = (
    "error: the largest relative error of the loss and every gradient of a first "
    "batch, in float32, and in float64 where it has that; 100 steps: of the weights "
    "after as many; all against NumPy in float64"
)


class Measured(NamedTuple):
    """One implementation on one workload.

    seconds: of each epoch after the warm-up; empty where it does not agree
    accuracy: on the test images after all epochs; None for random bytes
    """

    implementation: str
    agreement: Agreement
    seconds: tuple[float, ...] = ()
    accuracy: float | None = None


class Result(NamedTuple):
    """One workload.

    products: median seconds of an epoch's matrix products alone, by kernels and threads
    """

    key: str
    workload: Workload
    images: int
    products: dict[str, float]
    measured: list[Measured]

    @property
    def floor(self) -> float:
        """The fastest products'."""
        return min(self.products.values())


def measure(
    workloads: Mapping[str, Workload],
    implementations: Sequence[Implementation],
    images: Dataset,
    rounds: int,
    note: Note,
) -> Report:
    """Return every implementation's speed and agreement on these workloads, by key."""
    results = [
        measure_one(key, one, implementations, images, rounds, about(key, note))
        for key, one in workloads.items()
    ]
    products = {
        result.key: {how: 1e3 * seconds for how, seconds in result.products.items()}
        for result in results
    }
    facts = {
        "floor": {key: min(times.values()) for key, times in products.items()},
        "products": products,
    }
    tables = [table(result) for result in results]
    from nnx_benchmarks import picture  # and matplotlib, of no use until here

    return Report(tables, facts, (LEGEND,), partial(picture.png, results))


def measure_one(
    key: str,
    workload: Workload,
    implementations: Sequence[Implementation],
    images: Dataset,
    rounds: int,
    note: Note,
) -> Result:
    """Return every implementation's speed and agreement on one workload.

    Each trains the same epochs from the same weights, one epoch of each in turn,
    beginning with one that is not counted.
    """
    problem = data.problem(workload, images.train)
    checked = check_all(problem, implementations, note)
    trainers = {name: one.trainer for name, one in checked.items() if one.trainer}
    jobs: dict[str, Callable[[int], Any]] = {}
    for name, trainer in trainers.items():
        trainer.load(initial_layers(workload))
        jobs[name] = partial(epoch_seconds, trainer, problem)
    with floor(workload) as products:

        def rested(epoch: int) -> dict[str, float]:
            time.sleep(REST)
            return products(len(problem.labels))

        spent = in_turn(jobs | {FLOOR: rested}, rounds, note)
    of_products = spent.pop(FLOOR)
    rows = [
        Measured(name, one.agreement)
        if one.trainer is None
        else Measured(
            name,
            one.agreement,
            spent[name],
            data.accuracy(one.trainer.layers(), workload, images),
        )
        for name, one in checked.items()
    ]
    middle = {how: median(each[how] for each in of_products) for how in of_products[0]}
    return Result(key, workload, len(problem.labels), middle, rows)


def table(result: Result) -> Table:
    """Return a row for each implementation, fastest first."""
    floor = 1e3 * result.floor
    title = f"{result.key}: {result.workload}; matrix products alone {floor:.1f} ms"
    rows = sorted(result.measured, key=lambda one: median(one.seconds or [math.inf]))
    return Table(title, COLUMNS, [_row(one, result) for one in rows])


def _row(one: Measured, result: Result) -> Row:
    name, agreed = one.implementation, one.agreement
    spent = median(one.seconds) if one.seconds else math.inf
    cells = [
        name,
        *epoch_cells(one.seconds),
        f"{result.images / spent:,.0f}",
        f"{spent / result.floor:.2f}",
        *map(error_cell, (agreed.first, agreed.float64, agreed.after_100)),
        "–" if one.accuracy is None else f"{100 * one.accuracy:.2f} %",
    ]
    record = {
        "workload": result.key,
        "implementation": name,
        **epoch_record(one.seconds),
        "images_per_second": result.images / spent if one.seconds else None,
        "accuracy": one.accuracy,
        "max_relative_error": finite(agreed.first),
        "max_relative_error_float64": finite(agreed.float64),
        "parameters_error_after_100_steps": finite(agreed.after_100),
    }
    return Row(name, cells, record, agreed.wrong)
