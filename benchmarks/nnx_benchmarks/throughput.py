"""Workloads: how fast each implementation trains, beside what the processor can do."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from statistics import median
from typing import Any

from nnx.data.dataset import Dataset
from nnx_benchmarks import data, peak
from nnx_benchmarks.agreement import Agreement
from nnx_benchmarks.floor import floor
from nnx_benchmarks.measure import REST, Note, about, check_all, epoch_seconds, in_turn
from nnx_benchmarks.peak import Rates
from nnx_benchmarks.report import Report, Row, Table, fastest_first, times
from nnx_benchmarks.trainer import Implementation, Trainer
from nnx_benchmarks.workloads import Problem, Workload, initial_layers

COLUMNS = [
    ("implementation", "implementation", "{}"),
    ("ms/epoch", "ms_per_epoch", "{:.1f}"),
    ("range", "ms_range", "{0[0]:.1f}–{0[1]:.1f}"),
    ("images/s", "images_per_second", "{:,.0f}"),
    ("of peak", "of_peak", "{:.1%}"),
    ("error", "max_relative_error", "{:.1e}"),
    ("float64", "max_relative_error_float64", "{:.1e}"),
    ("100 steps", "parameters_error_after_100_steps", "{:.1e}"),
    ("accuracy", "accuracy", "{:.2%}"),
]
LEGEND = (
    "of peak: the operations of the matrix products needed, over those that the cores "
    "could do in the same time; matrix products: these alone, by the fastest BLAS; "
    "error: the largest relative error of the loss and every gradient of a first "
    "batch, in float32, and in float64 where it has that; 100 steps: of the weights "
    "after as many; all against NumPy in float64; of a recipe, not the gradients but "
    "the weights after three steps, and with dropout's rate at 0"
)
# These stand among the implementations while they run.
FLOOR, PEAK = "matrix products", "peak"


def measure(
    workloads: Mapping[str, Workload],
    implementations: Sequence[Implementation],
    images: Dataset,
    rounds: int,
    note: Note,
) -> Report:
    """Return every implementation's speed and agreement on these workloads, by key."""
    processor, tables = peak.processor(note), []
    facts: dict[str, dict[str, Any]] = {"floor": {}, "products": {}, "peak": {}}
    for key, workload in workloads.items():
        problem, say = data.problem(workload, images.train), about(key, note)
        checked = check_all(problem, implementations, say)
        agreeing = {name: trainer for name, (_, trainer) in checked.items() if trainer}
        spent = _spent(problem, agreeing, processor, rounds, say)
        products = facts["products"][key] = {
            how: 1e3 * median(each[how] for each in spent[FLOOR])
            for how in spent[FLOOR][0]
        }
        # The highest, as what else the processor does is no bound on what it can do.
        rates = facts["peak"][key] = {
            name: max(each[name] for each in spent[PEAK]) for name in spent[PEAK][0]
        }
        best = min(products, key=products.__getitem__)
        facts["floor"][key] = products[best]
        spent[FLOOR] = [each[best] for each in spent[FLOOR]]
        rows = []
        for name, (agreed, trainer) in {**checked, FLOOR: (Agreement(), None)}.items():
            timed = times(spent.get(name, ()), "ms_per_epoch", "ms_range", 1e3)
            speed = _speed(timed["ms_per_epoch"], problem, rates.get("gflops"))
            layers = trainer and trainer.layers()
            right = layers and data.accuracy(layers, workload, images)
            row = {"workload": key, "implementation": name, **timed, **speed}
            rows.append(row | {"accuracy": right} | agreed.as_row())
        title = f"{key}: {workload}; memory {rates['gigabytes_per_second']:.0f} GB/s"
        columns = COLUMNS
        if "gflops" in rates:
            title += f", peak {rates['gflops']:.0f} GFLOP/s"
        else:
            columns = [column for column in COLUMNS if column[1] != "of_peak"]
        tables.append(Table(title, columns, fastest_first(rows, "ms_per_epoch")))
    return Report(tables, facts, LEGEND, drawn=True)


def _speed(ms: float | None, problem: Problem, gflops: float | None) -> Row:
    """Return what an epoch's time is in images, and as a share of the peak."""
    n, flops = len(problem.labels), problem.workload.flops
    return {
        "images_per_second": ms and 1e3 * n / ms,
        "of_peak": ms and gflops and 1e-6 * n * flops / (ms * gflops),
    }


def _spent(
    problem: Problem,
    trainers: Mapping[str, Trainer],
    processor: Callable[[], Rates],
    rounds: int,
    note: Note,
) -> dict[str, list[Any]]:
    """Return each one's seconds of the same epochs, the floor's by kernels, and rates.

    All train from the same weights, one epoch of each in turn.
    """
    jobs: dict[str, Iterator[Any]] = {}
    for name, trainer in trainers.items():
        trainer.load(initial_layers(problem.workload))
        jobs[name] = map(partial(epoch_seconds, trainer, problem), count())
    with floor(problem.workload) as products:
        jobs[FLOOR] = _rested(partial(products, len(problem.labels)))
        jobs[PEAK] = _rested(processor)
        return in_turn(jobs, rounds, note)


def _rested(measure: Callable[[], Rates]) -> Iterator[Rates]:
    """Yield what is measured each time after a rest."""
    while True:
        time.sleep(REST)
        yield measure()
