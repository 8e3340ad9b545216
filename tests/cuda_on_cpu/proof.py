"""Proof that a kernel's barriers are all there, and all needed.

A kernel with enough barriers gives the same bits in whatever order its threads run. One
that lacks a barrier gives other bits in some order, or reads memory that was never
written.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from cuda_on_cpu.prepare import ORDER

ORDERS = "0", "reverse", "1", "2", "3", "4"
BARRIER = re.compile(
    r"__syncthreads\(\);|__syncwarp\([^;]*\);|grid_barrier\([^;{]*\);"
    r"|sync_team<[^;{]*>\([^;]*\);|wait_copies<[^;{]*>\(\);"
)
# Compiles a source, launches it on new memory, and returns arrays of the host.
Run = Callable[[str], Sequence[Any]]


class Deletion(NamedTuple):
    """A barrier that was left out.

    line: of the source, from 1
    barrier: its text
    caught: in which order, and how; empty where nothing came of it
    """

    line: int
    barrier: str
    caught: str


@contextmanager
def order(name: str) -> Iterator[None]:
    """Run threads in an order: "0", "reverse", or the seed of a random one."""
    before = os.environ.get(ORDER)
    os.environ[ORDER] = name
    try:
        yield
    finally:
        del os.environ[ORDER]
        os.environ |= {ORDER: before} if before else {}


def in_every_order(run: Run, source: str) -> Sequence[Any]:
    """Return what a source gives, which is the same to the bit in every order.

    Raises:
        AssertionError: it is not
    """
    with order(ORDERS[0]):
        first = run(source)
    for name in ORDERS[1:]:
        with order(name):
            assert _bits(run(source)) == _bits(first), f"other bits in order {name}"
    return first


def deletions(
    runs: Sequence[Run], source: str, barrier: re.Pattern[str] = BARRIER
) -> list[Deletion]:
    """Leave out each barrier in turn, and tell whether any order of any run shows it.

    barrier: what one looks like; where it is defined it does not look so
    """
    with order(ORDERS[0]):
        right = [_bits(run(source)) for run in runs]
    results = []
    for match in barrier.finditer(source):
        without = source[: match.start()] + ";" + source[match.end() :]
        line = source.count("\n", 0, match.start()) + 1
        symptoms = (
            _caught(run, without, bits) for run, bits in zip(runs, right, strict=True)
        )
        results.append(Deletion(line, match[0], next(filter(None, symptoms), "")))
    return results


def _caught(run: Run, source: str, right: list[bytes]) -> str:
    for name in ORDERS:
        with order(name):
            try:
                same = _bits(run(source)) == right
            except Exception as error:  # of a launch that failed
                return f"order {name}: {error}"
        if not same:
            return f"order {name}: other bits"
    return ""


def _bits(arrays: Sequence[Any]) -> list[bytes]:
    return [array.tobytes() for array in arrays]
