"""Processes that train together, here threads: all of them compute the same."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import Any, TypeVar

import numpy as np

from nnx.maths.arrays import map_arrays
from nnx.maths.shards import ALONE, Communicator, tree_sum

T = TypeVar("T")


def _sent(leaf: Any) -> Any:
    """Return a copy, as a message is one."""
    return leaf if isinstance(leaf, int) else np.array(leaf)


def together(size: int, work: Callable[[Communicator], T]) -> list[T]:
    """Return what each of so many processes makes of its communicator."""
    if size == 1:
        return [work(ALONE)]
    barrier, slots = Barrier(size), [None] * size

    def exchanged(rank: int, value: Any) -> list[Any]:
        slots[rank] = value
        barrier.wait(60)
        every = list(slots)
        barrier.wait(60)
        return every

    def total(rank: int, parts: Sequence[Any]) -> Any:
        every = exchanged(rank, map_arrays(_sent, list(parts)))
        return tree_sum([part for of_rank in every for part in of_rank])

    def broadcast(rank: int, value: Any) -> Any:
        return exchanged(rank, value)[0]

    def run(rank: int) -> T:
        try:
            return work(
                Communicator(rank, size, partial(total, rank), partial(broadcast, rank))
            )
        except BaseException:
            barrier.abort()
            raise

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(run, range(size)))
