"""Agreement first, then speed, in turn: what every measurement here has in common."""

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np

from nnx.data.dataset import Array
from nnx.maths import random
from nnx_benchmarks import agreement
from nnx_benchmarks.agreement import Agreement, Reference
from nnx_benchmarks.trainer import Implementation, Trainer
from nnx_benchmarks.workloads import Problem, initial_layers

# Seconds before each timing, until the last one's threads have gone to sleep:
# OpenBLAS's look for more work, and keep a core, for 2²⁸ ticks, 0.13 s at 2 GHz.
REST = 0.2
Note: TypeAlias = Callable[[str], None]
Key = TypeVar("Key", bound=Hashable)


class Checked(NamedTuple):
    """How well an implementation agrees, and its trainer where it does."""

    agreement: Agreement
    trainer: Trainer | None = None


def check_all(
    problem: Problem, implementations: Sequence[Implementation], note: Note
) -> dict[str, Checked]:
    """Return how well each implementation agrees with float64, by its name."""
    wanted = agreement.reference(problem)
    note(f"{problem.workload}: comparing {len(implementations)} with float64 …")
    return {each.name: check(each, problem, wanted) for each in implementations}


def check(
    implementation: Implementation, problem: Problem, wanted: Reference
) -> Checked:
    """Return how well an implementation agrees, measured on the trainer to be timed."""
    try:
        trainer = implementation.prepare(problem)
        agreed = agreement.check(trainer, problem, wanted)
        if "float64" in implementation.dtypes:
            agreed = _in_float64(implementation, problem, wanted, agreed)
    except Exception as error:
        # Whatever a library raises, the others' results are still worth having.
        words = (str(error).strip() or type(error).__name__).splitlines()[0]
        return Checked(Agreement(wrong=f"failed: {words}"))
    return Checked(agreed, None if agreed.wrong else trainer)


def _in_float64(
    implementation: Implementation,
    problem: Problem,
    wanted: Reference,
    agreed: Agreement,
) -> Agreement:
    """Return the agreement with the first batch in float64 added."""
    rows = wanted.index
    small = problem._replace(
        pixels=problem.pixels[rows],
        floats=problem.pixels[rows].astype(np.float64) / 255,
        labels=problem.labels[rows],
    )
    layers = agreement.in_float64(initial_layers(problem.workload))
    first = wanted._replace(index=np.arange(len(rows)))
    error = agreement.first_error(implementation.prepare(small), layers, first)
    bound = agreement.BOUNDS["float64"]
    wrong = agreement.beyond("float64 loss and gradients", error, bound)
    return agreed._replace(float64=error, wrong=agreed.wrong or wrong)


def about(what: str, note: Note) -> Note:
    """Return what notes the same with what it is about before it."""
    return lambda text: note(f"{what}: {text}")


def in_turn(
    jobs: Mapping[Key, Callable[[int], Any]], rounds: int, note: Note
) -> dict[Key, tuple[Any, ...]]:
    """Return what each job gave in each round; all do one before any does the next.

    jobs: given the number of the round; what they give in round 0, which warms up,
        is not counted
    """
    results: dict[Key, list[Any]] = {key: [] for key in jobs}
    for i in range(rounds + 1):
        note(f"round {i} of {rounds}" if i else "warming up")
        for key, job in jobs.items():
            results[key].append(job(i))
    return {key: tuple(given[1:]) for key, given in results.items()}


def epoch_seconds(trainer: Trainer, problem: Problem, epoch: int) -> float:
    """Return the seconds that an epoch of training takes."""
    images = order(problem, epoch)
    time.sleep(REST)
    began = time.perf_counter()
    trainer.epoch(images, problem.workload.learning_rate)
    return time.perf_counter() - began


def order(problem: Problem, epoch: int) -> Array:
    """Return the order of an epoch's images, the same for all."""
    return random.permutation(len(problem.labels), seed=0, epoch=epoch, xp=np)
