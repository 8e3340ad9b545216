"""Processes that train one network together, joined by MPI.

MPI: A Message-Passing Interface Standard, version 4.1.
"""

import time
from functools import partial
from typing import Any

import numpy as np

from nnx.errors import MissingLibraryError
from nnx.maths.arrays import Array
from nnx.maths.shards import Communicator
from nnx_backends.exchange import Exchange, total

ENDING_SECONDS = 1.0  # all processes that end by the same error arrive within this time


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
    by_mpi = Exchange(
        np, world.size, partial(_all_gather, world), partial(_all_to_all, world)
    )
    return Communicator(
        rank=world.rank,
        size=world.size,
        total=partial(total, by_mpi),
        broadcast=partial(world.bcast, root=0),
        are_ending=partial(_are_ending, ending),
        abort=world.Abort,
    )


def _all_gather(world: Any, array: Array) -> Array:
    every = np.empty((world.size, *array.shape), array.dtype)
    world.Allgather(array, every)
    return every


def _all_to_all(world: Any, pieces: Array) -> Array:
    received = np.empty_like(pieces)
    world.Alltoall(pieces, received)
    return received


def _are_ending(ending: Any) -> bool:
    """Return whether all processes make this call within a second."""
    waiting, until = ending.Ibarrier(), time.monotonic() + ENDING_SECONDS
    while not waiting.Test():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True
