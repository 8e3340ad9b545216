"""A batch in shards, whose sums are added along one binary tree.

Neighbours are added in pairs, level by level, and an odd last one goes up as it is: so
a sum is the same to the bit whichever process computed a shard, and however many
processes there are.
"""

import os
from collections.abc import Callable, Generator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias, TypeVar

from nnx.maths.arrays import map_arrays
from nnx.maths.blocks import BLOCK, block_count

T = TypeVar("T")
# What a shard's part of a batch computes: it yields each tree of arrays that is to be
# summed over all shards, and is sent the sum.
Sharded: TypeAlias = Generator[Any, Any, T]


def tree_sum(parts: Sequence[Any]) -> Any:
    """Return the sum of trees of arrays of one form, along the binary tree."""
    parts = list(parts)
    while len(parts) > 1:
        parts = _neighbours(parts)
    return parts[0]


def _neighbours(parts: list[Any]) -> list[Any]:
    """Return the sums of neighbours: the next level of the tree."""
    pairs = zip(parts[::2], parts[1::2], strict=False)
    odd = parts[-1:] if len(parts) % 2 else []
    return [map_arrays(lambda a, b: a + b, *pair) for pair in pairs] + odd


class Communicator(NamedTuple):
    """The processes that train one network together.

    rank: of this one, in [0, size)
    size: how many there are
    total: called by each process with as many trees of arrays as by any other; returns
        the tree sum of all, in the order of ranks
    broadcast: returns, in every process, what that of rank 0 has called it with
    are_ending: called by a process that ends by an error: whether all others do, too
    abort: ends all processes at once, with an exit status
    """

    rank: int = 0
    size: int = 1
    total: Callable[[Sequence[Any]], Any] = tree_sum
    broadcast: Callable[[Any], Any] = lambda value: value
    are_ending: Callable[[], bool] = lambda: True
    abort: Callable[[int], object] = os._exit


ALONE = Communicator()


def lockstep(shards: Sequence[Sharded[T]], communicator: Communicator) -> list[T]:
    """Return what a process's shards of a batch compute, side by side.

    They are its share of all shards, in order.
    """
    results, sent = list[T](), None
    while True:
        parts = []
        for shard in shards:
            try:
                parts.append(shard.send(sent))
            except StopIteration as ended:
                results.append(ended.value)
        if not parts:
            return results
        sent = summed(parts, communicator)


def summed(parts: Sequence[Any], communicator: Communicator) -> Any:
    """Return the sum over all shards, of which these are the process's own."""
    parts = list(parts)
    # Levels of the tree on which no pair is of two processes.
    while len(parts) > 1 and len(parts) % 2 == 0:
        parts = _neighbours(parts)
    return communicator.total(parts)


def alone(shard: Sharded[T]) -> T:
    """Return what a batch that is a single shard computes."""
    return lockstep([shard], ALONE)[0]


def blocks_of_shard(shard: int, shards: int, n: int) -> list[slice]:
    """Return a shard's rows of a batch of n images, in blocks.

    All shards have equally many blocks; the last may be empty in some.
    """
    start, end = shard * n // shards, (shard + 1) * n // shards
    edges = [
        min(start + i * BLOCK, end)
        for i in range(block_count(-(-n // shards), BLOCK) + 1)
    ]
    return [slice(*edge) for edge in pairwise(edges)]


def own_shards(shards: int, communicator: Communicator) -> range:
    """Return which of a batch's shards are this process's, neighbours all."""
    each = shards // communicator.size
    return range(communicator.rank * each, (communicator.rank + 1) * each)
