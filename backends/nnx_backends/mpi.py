"""Processes that train one network together, joined by MPI.

MPI: A Message-Passing Interface Standard, version 4.1. It promises no order for its own
sums, so only the parts are exchanged by it, and each element is summed along the tree
by the process whose turn it is.
"""

import math
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from nnx.errors import MissingLibraryError
from nnx.maths.arrays import Array, map_arrays
from nnx.maths.shards import Communicator, tree_sum

# Elements under which all parts are sent to all, in one message: it saves the second.
FEW = 4096
ENDING_SECONDS = 1.0  # within which all processes end that end by the same error


def load() -> Communicator:
    """Return the communicator of all processes that `mpiexec` has started.

    Raises:
        MissingLibraryError: mpi4py, or the MPI library that it loads, is missing
    """
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise MissingLibraryError(
            f"'mpi' needs mpi4py and an MPI library ({error}): pip install "
            "'nnx-mlp[mpi]'"
        ) from None
    world, ending = MPI.COMM_WORLD.Dup(), MPI.COMM_WORLD.Dup()
    return Communicator(
        rank=world.rank,
        size=world.size,
        total=partial(_sum, world),
        broadcast=partial(world.bcast, root=0),
        are_ending=partial(_are_ending, ending),
        abort=world.Abort,
    )


def _sum(world: Any, parts: Sequence[Any]) -> Any:
    """Return the tree sum of all processes' parts; see `Communicator.total`."""
    leaves = [_leaves(part) for part in parts]
    kinds = [leaf.dtype for leaf in leaves[0]]
    sums: list[Any] = [None] * len(kinds)
    for kind in dict.fromkeys(kinds):
        own = [i for i, other in enumerate(kinds) if other == kind]
        shapes = [leaves[0][i].shape for i in own]
        ends = np.cumsum([math.prod(shape) for shape in shapes])
        flat = np.zeros((len(leaves), _padded(ends[-1], world.size)), kind)
        for row, part in zip(flat, leaves, strict=True):
            np.concatenate([part[i].reshape(-1) for i in own], out=row[: ends[-1]])
        total = np.split(_flat_sum(world, flat), ends)
        for i, shape, values in zip(own, shapes, total[:-1], strict=True):
            sums[i] = values.reshape(shape)
    remaining = iter(sums)

    def as_before(leaf: Any) -> Any:
        total = next(remaining)
        return int(total) if isinstance(leaf, int) else total

    return map_arrays(as_before, parts[0])


def _leaves(tree: Any) -> list[Array]:
    leaves: list[Array] = []
    map_arrays(lambda leaf: leaves.append(np.asarray(leaf)), tree)
    return leaves


def _padded(n: int, size: int) -> int:
    """Return so many, or a few more that make equal pieces."""
    return -(-n // size) * size


def _flat_sum(world: Any, parts: Array) -> Array:
    """Return the tree sum of all processes' parts, (n,).

    Each process is sent a piece of all parts, sums it, and sends the sum to all, as in
    Rabenseifner, "Optimization of collective reduction operations", 2004.

    parts: (count, n), this process's; n is a multiple of the processes
    """
    (count, n), size = parts.shape, world.size
    if n * count * size <= FEW:
        everything = np.empty((size, count, n), parts.dtype)
        world.Allgather(parts, everything)
        return tree_sum([*everything.reshape(-1, n)])
    pieces = parts.reshape(count, size, -1).swapaxes(0, 1)
    received = np.empty(pieces.shape, parts.dtype)
    world.Alltoall(np.ascontiguousarray(pieces), received)
    total = np.empty(n, parts.dtype)
    world.Allgather(tree_sum([*received.reshape(size * count, -1)]), total)
    return total


def _are_ending(ending: Any) -> bool:
    """Return whether all processes come here within a second."""
    waiting, until = ending.Ibarrier(), time.monotonic() + ENDING_SECONDS
    while not waiting.Test():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True
