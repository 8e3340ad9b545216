"""Finding a communicator for the processes that train one network together."""

import os
import platform
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any, TypeVar
from zlib import crc32

from nnx import cores
from nnx.backend import function_of
from nnx.errors import InputError, NnxError, in_few_words
from nnx.maths.shards import ALONE, Communicator

GROUP = "nnx.communicators"
T = TypeVar("T")


def find(name: str) -> Communicator:
    """Return the communicator of this process and those it was started with.

    name: of a communicator that an installed package provides, such as "mpi"; "": this
        process alone

    Raises:
        InputError: no installed package provides a communicator of this name
        MissingLibraryError, UnusableBackendError: its library is missing or fails, or
            the package cannot be imported
    """
    if name == "":
        return ALONE
    offered = {point.name: point for point in entry_points(group=GROUP)}
    if not isinstance(name, str) or name not in offered:
        raise InputError(
            f"no way to join processes is called {in_few_words(name)}; there is "
            f"{', '.join(sorted(offered))}"
        )
    communicator = function_of(offered[name])()
    assert isinstance(communicator, Communicator)
    return communicator


def first_rank(communicator: Communicator, function: Callable[[], T]) -> T:
    """Call the function on rank 0 only, and return its result in every process.

    Raises:
        NnxError: in every process, if the function raises it on rank 0
    """
    outcome: tuple[Any, NnxError | None] = None, None
    if communicator.rank == 0:
        try:
            outcome = function(), None
        except NnxError as error:
            outcome = None, error
    value, raised = communicator.broadcast(outcome)
    if raised is not None:
        raise raised
    result: T = value
    return result


def gather(communicator: Communicator, number: int) -> list[int]:
    """Return the numbers of all processes, in the order of their ranks."""
    own = [0] * communicator.size
    own[communicator.rank] = number
    numbers: list[int] = communicator.total([own])
    return numbers


def place_on_machine(communicator: Communicator) -> int:
    """Return how many processes on this machine have a lower rank."""
    machines = gather(communicator, crc32(platform.node().encode()))
    return machines[: communicator.rank].count(machines[communicator.rank])


def own_cores(communicator: Communicator) -> int:
    """Return this process's share of the cores that it may use, at least one.

    Processes on one machine that may use the same cores share them equally.
    """
    affinity = getattr(os, "sched_getaffinity", lambda _: ())(0)
    place = crc32(f"{platform.node()} {sorted(affinity)}".encode())
    return max(1, cores.available() // gather(communicator, place).count(place))
