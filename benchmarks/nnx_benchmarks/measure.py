"""What all measurements have in common: first agreement, then speed, job by job."""

import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np

from nnx.data.dataset import Array
from nnx.maths import random
from nnx_benchmarks import agreement
from nnx_benchmarks.agreement import Agreement
from nnx_benchmarks.trainer import Implementation, Trainer
from nnx_benchmarks.workloads import Problem

# Seconds before each timing, until the threads of the one before are asleep: OpenBLAS's
# look for more work, and keep a core busy, for 2²⁸ ticks, 0.13 s at 2 GHz.
REST = 0.2
SLOW = 10.0  # seconds; compiling and comparing that takes longer is noted
Note: TypeAlias = Callable[[str], None]
Key = TypeVar("Key", bound=Hashable)


def check_all(
    problem: Problem, implementations: Sequence[Implementation], note: Note
) -> dict[str, tuple[Agreement, Trainer | None]]:
    """Return how well each able implementation agrees, and its trainer if it does."""
    options = problem.workload.options
    able = [one for one in implementations if not (one.plain and options)]
    rounds = any(implementation.bfloat16 for implementation in able)
    note(f"{problem.workload}: comparing {len(able)} with float64 …")
    expected = agreement.reference(problem, bfloat16=rounds)
    checked = {}
    for implementation in able:
        began = time.perf_counter()
        name = implementation.name
        checked[name] = agreement.check(implementation, problem, expected)
        if (took := time.perf_counter() - began) > SLOW:
            note(f"comparing {name} took {took:.0f} s")
    return checked


def about(what: str, note: Note) -> Note:
    """Return a `note` that begins each text with its subject."""
    return lambda text: note(f"{what}: {text}")


def in_turn(
    jobs: Mapping[Key, Iterator[Any]], rounds: int, note: Note
) -> dict[Key, list[Any]]:
    """Return each job's result in each round; all do a round before any does the next.

    jobs: each `next` does a round's work; the first round warms up and is not counted
    """
    results: dict[Key, list[Any]] = {key: [] for key in jobs}
    for i in range(rounds + 1):
        note(f"round {i} of {rounds}" if i else "warming up")
        for key, job in jobs.items():
            results[key].append(next(job))
    return {key: given[1:] for key, given in results.items()}


def epoch_seconds(trainer: Trainer, problem: Problem, epoch: int) -> float:
    """Return the seconds that an epoch of training takes."""
    images = order(problem, epoch)
    time.sleep(REST)
    began = time.perf_counter()
    trainer.epoch(images, problem.workload.learning_rate)
    return time.perf_counter() - began


def order(problem: Problem, epoch: int) -> Array:
    """Return the order of an epoch's images, the same for all implementations."""
    return random.permutation(len(problem.labels), seed=0, epoch=epoch, xp=np)
