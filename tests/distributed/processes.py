"""Processes that train together, here threads: all of them compute the same."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import Any, TypeVar

import numpy as np
from nnx_backends.exchange import Exchange, total

from nnx.maths.arrays import Array
from nnx.maths.shards import ALONE, Communicator

T = TypeVar("T")


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

    def all_gather(rank: int, array: Array) -> Array:
        return np.stack(exchanged(rank, array))

    def all_to_all(rank: int, pieces: Array) -> Array:
        assert pieces.flags.c_contiguous  # as messages of MPI and NCCL must be
        return np.stack([sent[rank] for sent in exchanged(rank, pieces)])

    def broadcast(rank: int, value: Any) -> Any:
        return exchanged(rank, value)[0]

    def run(rank: int) -> T:
        by_slots = Exchange(
            np, size, partial(all_gather, rank), partial(all_to_all, rank)
        )
        try:
            return work(
                Communicator(
                    rank, size, partial(total, by_slots), partial(broadcast, rank)
                )
            )
        except BaseException:
            barrier.abort()
            raise

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(run, range(size)))
