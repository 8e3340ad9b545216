"""Measuring one workload: agreement first, then speed, in turn."""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple, TypeAlias

import numpy as np

from nnx.data.dataset import Array, Dataset
from nnx.maths import random
from nnx_benchmarks import agreement, data
from nnx_benchmarks.agreement import Agreement, Reference
from nnx_benchmarks.floor_process import Floor
from nnx_benchmarks.trainer import Implementation, Trainer
from nnx_benchmarks.workloads import Problem, Workload, initial_layers

# Seconds before each timing, until the last one's threads have gone to sleep:
# OpenBLAS's look for more work, and keep a core, for 2²⁸ ticks, 0.13 s at 2 GHz.
REST = 0.2
Times: TypeAlias = tuple[float, ...]


class Measured(NamedTuple):
    """One implementation on one workload.

    seconds: of each epoch after the warm-up; empty where it does not agree
    accuracy: on the test images after all epochs; None for random bytes
    """

    implementation: str
    agreement: Agreement
    seconds: Times = ()
    accuracy: float | None = None


class Result(NamedTuple):
    """One workload.

    products: seconds of an epoch's matrix products alone, by kernels and threads
    """

    key: str
    workload: Workload
    images: int
    products: dict[str, Times]
    rows: list[Measured]

    @property
    def floor(self) -> float:
        """The fastest products' median."""
        return min(median(times) for times in self.products.values())


def measure(
    key: str,
    workload: Workload,
    dataset: Dataset,
    implementations: Sequence[Implementation],
    rounds: int,
    note: Callable[[str], None],
) -> Result:
    """Return every implementation's speed and agreement.

    Each trains the same epochs from the same weights, one epoch of each in turn,
    beginning with one that is not counted.
    """
    problem = data.problem(workload, dataset.train)
    wanted = agreement.reference(problem)
    note(f"{key} ({workload}): comparing {len(implementations)} with float64 …")
    checked = {i.name: prepared(i, problem, wanted) for i in implementations}
    trainers = {name: t for name, (t, _) in checked.items() if t is not None}
    spent, products = _timed(problem, trainers, rounds, lambda s: note(f"{key}: {s}"))
    rows = [
        Measured(name, agreed, spent[name], _accuracy(trainer, workload, dataset))
        if trainer is not None
        else Measured(name, agreed)
        for name, (trainer, agreed) in checked.items()
    ]
    return Result(key, workload, len(problem.labels), products, rows)


def prepared(
    implementation: Implementation, problem: Problem, wanted: Reference
) -> tuple[Trainer | None, Agreement]:
    """Return a trainer and how well it agrees; no trainer where it does not."""
    try:
        trainer = implementation.prepare(problem)
        found = agreement.check(trainer, problem, wanted)
        if "float64" in implementation.dtypes:
            found = _in_float64(implementation, problem, wanted, found)
    except Exception as error:
        # Whatever a library raises, the others' results are still worth having.
        words = (str(error).strip() or type(error).__name__).splitlines()[0]
        return None, Agreement(wrong=f"failed: {words}")
    return (None if found.wrong else trainer), found


def _in_float64(
    implementation: Implementation,
    problem: Problem,
    wanted: Reference,
    found: Agreement,
) -> Agreement:
    """Return the agreement with the first batch in float64 added."""
    rows = wanted.index
    small = problem._replace(
        pixels=problem.pixels[rows],
        floats=problem.pixels[rows].astype(np.float64) / 255,
        labels=problem.labels[rows],
    )
    layers = [
        type(layer)(*(a.astype(np.float64) for a in layer))
        for layer in initial_layers(problem.workload)
    ]
    first = wanted._replace(index=np.arange(len(rows)))
    error = agreement.first_error(implementation.prepare(small), layers, first)
    bound = agreement.BOUNDS["float64"]
    wrong = agreement.beyond("float64 loss and gradients", error, bound)
    return found._replace(float64=error, wrong=found.wrong or wrong)


def order(problem: Problem, epoch: int) -> Array:
    """Return the order of an epoch's images, the same for all."""
    return random.permutation(len(problem.labels), seed=0, epoch=epoch, xp=np)


def _timed(
    problem: Problem,
    trainers: dict[str, Trainer],
    rounds: int,
    note: Callable[[str], None],
) -> tuple[dict[str, Times], dict[str, Times]]:
    """Return the seconds of each trainer's epochs, and of the floor's."""
    spent: dict[str, list[float]] = defaultdict(list)
    products: dict[str, list[float]] = defaultdict(list)
    for trainer in trainers.values():
        trainer.load(initial_layers(problem.workload))
    with Floor(problem.workload) as floor:
        for epoch in range(rounds + 1):
            note(f"round {epoch} of {rounds}" if epoch else "warming up")
            for name, trainer in trainers.items():
                spent[name].append(seconds(trainer, problem, epoch))
            time.sleep(REST)
            for name, passed in floor.epoch(len(problem.labels)).items():
                products[name].append(passed)
    return _counted(spent), _counted(products)


def _counted(spent: dict[str, list[float]]) -> dict[str, Times]:
    """Return the times without those of the warm-up."""
    return {name: tuple(times[1:]) for name, times in spent.items()}


def seconds(trainer: Trainer, problem: Problem, epoch: int) -> float:
    """Return the seconds that an epoch of training takes."""
    images = order(problem, epoch)
    time.sleep(REST)
    began = time.perf_counter()
    trainer.epoch(images, problem.workload.learning_rate)
    return time.perf_counter() - began


def _accuracy(trainer: Trainer, workload: Workload, dataset: Dataset) -> float | None:
    return data.accuracy(trainer.layers(), workload, dataset)
