"""How fast each implementation trains workloads, beside what the processor can do."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import count
from statistics import median
from typing import Any, NamedTuple

from nnx.data.dataset import Dataset
from nnx.errors import NnxError
from nnx_benchmarks import card, data, floor, peak
from nnx_benchmarks.agreement import Agreement
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
    "of peak: the operations of the matrix products needed, over those that the cores, "
    "or the card, could do in the same time, in float32; matrix products: these alone, "
    "by the fastest BLAS; "
    "error: the largest relative error of the loss and every gradient of a first "
    "batch, in float32, and in float64 where it has that; 100 steps: of the weights "
    "after as many; all against NumPy in float64; of a recipe, not the gradients but "
    "the weights after three steps, and with dropout's rate at 0"
)
# The names of these measurements among those of implementations.
FLOOR, PEAK = "matrix products", "peak"


class Bounds(NamedTuple):
    """Bounds that are measured beside the implementations, where they compute.

    rates: measures the peak rates
    floor: provides a function that measures a workload's matrix products; see
        `floor.floor`
    """

    rates: Callable[[], Rates]
    floor: Callable[[Workload], AbstractContextManager[Callable[[int], Rates]]]


def measure(
    workloads: Mapping[str, Workload],
    implementations: Sequence[Implementation],
    images: Dataset,
    rounds: int,
    note: Note,
) -> Iterator[Report]:
    """Yield a report after each workload, on all workloads so far.

    workloads: by key
    """
    bounds = _bounds(implementations, note)
    tables = list[Table]()
    facts: dict[str, dict[str, Any]] = {"floor": {}, "products": {}, "peak": {}}
    for key, workload in workloads.items():
        problem, say = data.problem(workload, images.train), about(key, note)
        checked = check_all(problem, implementations, say)
        agreeing = {name: trainer for name, (_, trainer) in checked.items() if trainer}
        spent = _spent(problem, agreeing, bounds, rounds, say)
        facts["products"][key], spent[FLOOR] = _fastest(spent[FLOOR])
        timed = {name: _timed(spent.get(name, ())) for name in [*checked, FLOOR]}
        facts["floor"][key] = timed[FLOOR]["ms_per_epoch"]
        # The highest, as other work only keeps the processor from reaching its peak.
        rates = facts["peak"][key] = {
            name: max(measured[name] for measured in spent[PEAK])
            for name in spent[PEAK][0]
        }
        rows = []
        if spent[FLOOR]:
            checked[FLOOR] = Agreement(), None
        for name, (agreed, trainer) in checked.items():
            speed = _speed(timed[name]["ms_per_epoch"], problem, rates.get("gflops"))
            layers = trainer and trainer.layers()
            right = layers and data.accuracy(layers, workload, images)
            row = {"workload": key, "implementation": name, **timed[name], **speed}
            rows.append(row | {"accuracy": right} | agreed.as_row())
        tables.append(_table(key, workload, rows, rates))
        yield Report(list(tables), facts, LEGEND, drawn=True)


def _bounds(implementations: Sequence[Implementation], note: Note) -> Bounds:
    """Return the bounds of the processor, or of the card if all compute on one."""
    if not all(one.card for one in implementations):
        return Bounds(peak.processor(note), floor.floor)
    try:
        rates = card.rates(note)
    except (ImportError, NnxError) as error:
        note(f"share of the card's peak left out: {error}")
        rates = dict
    if card.has_floor(note):
        return Bounds(rates, card.floor)
    return Bounds(rates, lambda workload: nullcontext(lambda images: {}))


def _fastest(spent: Sequence[Rates]) -> tuple[Rates, list[float]]:
    """Return the milliseconds of each way to multiply, and the seconds of the best one.

    Both are empty if none was measured.
    """
    products = {
        how: 1e3 * median(seconds[how] for seconds in spent) for how in spent[0]
    }
    if not products:
        return {}, []
    best = min(products, key=products.__getitem__)
    return products, [seconds[best] for seconds in spent]


def _timed(seconds: Sequence[float]) -> Row:
    return times(seconds, "ms_per_epoch", "ms_range", 1e3)


def _table(key: str, workload: Workload, rows: list[Row], rates: Rates) -> Table:
    title, columns = f"{key}: {workload}", COLUMNS
    if "gigabytes_per_second" in rates:
        title += f"; memory {rates['gigabytes_per_second']:.0f} GB/s"
    if "gflops" in rates:
        title += f", peak {rates['gflops']:.0f} GFLOP/s"
    else:
        columns = [column for column in COLUMNS if column[1] != "of_peak"]
    return Table(title, columns, fastest_first(rows, "ms_per_epoch"))


def _speed(ms: float | None, problem: Problem, gflops: float | None) -> Row:
    """Return an epoch's time as images per second, and as a share of the peak."""
    n, flops = len(problem.labels), problem.workload.flops
    return {
        "images_per_second": ms and 1e3 * n / ms,
        "of_peak": ms and gflops and 1e-6 * n * flops / (ms * gflops),
    }


def _spent(
    problem: Problem,
    trainers: Mapping[str, Trainer],
    bounds: Bounds,
    rounds: int,
    note: Note,
) -> dict[str, list[Any]]:
    """Return the seconds of each trainer's epochs, the floor's by kernels, and rates.

    All train from the same weights, with the same epochs, one epoch of each in turn.
    """
    jobs: dict[str, Iterator[Any]] = {}
    for name, trainer in trainers.items():
        trainer.load(initial_layers(problem.workload))
        jobs[name] = map(partial(epoch_seconds, trainer, problem), count())
    with bounds.floor(problem.workload) as products:
        jobs[FLOOR] = _rested(partial(products, len(problem.labels)))
        jobs[PEAK] = _rested(bounds.rates)
        return in_turn(jobs, rounds, note)


def _rested(measure: Callable[[], Rates]) -> Iterator[Rates]:
    """Yield one measurement after another, each after a rest."""
    while True:
        time.sleep(REST)
        yield measure()
