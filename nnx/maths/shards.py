"""A batch in shards, whose results are summed along one binary tree.

Neighbors are added in pairs, level by level; an odd last one moves up unchanged. A sum
is therefore the same to the bit for any number of processes, and does not depend on
which of them computes a shard.
"""

import os
from collections.abc import Callable, Generator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias, TypeVar

from nnx.maths.arrays import map_arrays
from nnx.maths.blocks import BLOCK, block_count

T = TypeVar("T")
# The computation of one shard: it yields each tree of arrays that must be summed over
# all shards, and is sent the sum.
Sharded: TypeAlias = Generator[Any, Any, T]


def tree_sum(parts: Sequence[Any]) -> Any:
    """Return the sum of trees of arrays of one form, added along the binary tree."""
    parts = list(parts)
    while len(parts) > 1:
        parts = _neighbours(parts)
    return parts[0]


def _neighbours(parts: list[Any]) -> list[Any]:
    """Return the sums of neighbors: the next level of the tree."""
    pairs = zip(parts[::2], parts[1::2], strict=False)
    odd = parts[-1:] if len(parts) % 2 else []
    return [map_arrays(lambda a, b: a + b, *pair) for pair in pairs] + odd


class Communicator(NamedTuple):
    """The processes that train one network together.

    rank: of this process, in [0, size)
    size: the number of processes
    total: called by every process with the same number of trees of arrays; returns the
        tree sum of all of them, in the order of ranks
    broadcast: returns, in every process, the argument that rank 0 passed
    are_ending: called by a process that ends with an error; returns whether all others
        are ending too
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
    """Return the results of a process's shards of a batch, computed in lockstep.

    shards: the process's share of all shards, in order
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
    """Return the sum over all shards; parts: those of this process."""
    parts = list(parts)
    # Add the levels of the tree on which no pair spans two processes.
    while len(parts) > 1 and len(parts) % 2 == 0:
        parts = _neighbours(parts)
    return communicator.total(parts)


def alone(shard: Sharded[T]) -> T:
    """Return the result of a batch that is a single shard."""
    return lockstep([shard], ALONE)[0]


def blocks_of_shard(shard: int, shards: int, n: int) -> list[slice]:
    """Return a shard's rows of a batch of n images, in blocks.

    All shards have the same number of blocks; in some the last may be empty.
    """
    start, end = shard * n // shards, (shard + 1) * n // shards
    edges = [
        min(start + i * BLOCK, end)
        for i in range(block_count(-(-n // shards), BLOCK) + 1)
    ]
    return [slice(*edge) for edge in pairwise(edges)]


def own_shards(shards: int, communicator: Communicator) -> range:
    """Return the numbers of this process's shards, which are consecutive."""
    each = shards // communicator.size
    return range(communicator.rank * each, (communicator.rank + 1) * each)
