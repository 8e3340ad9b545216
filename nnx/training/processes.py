"""What the processes that share a run agree on: backend, shards and data."""

from typing import Any

from nnx.backend import Backend, choose
from nnx.communicator import gather, place_on_machine
from nnx.data.dataset import Dataset
from nnx.data.digest import digest
from nnx.errors import InputError
from nnx.maths.shards import ALONE, Communicator
from nnx.settings import Settings
from nnx.training import checkpoint


def choose_alike(
    backend: str | Backend, communicator: Communicator, **options: Any
) -> Backend:
    """Return, in every process, the backend that the first process chooses.

    The choice of "auto" depends on what is compiled already, and another process may be
    compiling just now. With CuPy, each process of a machine takes a different GPU.

    options: as for `nnx.backend.choose`
    """
    if isinstance(backend, Backend):
        return backend
    options["place"] = place_on_machine(communicator)
    if communicator.rank > 0:
        return choose(communicator.broadcast(None), **options)
    chosen = choose(backend, **options)
    communicator.broadcast(chosen.name)
    return chosen


def share(
    backend: Backend, settings: Settings, communicator: Communicator
) -> tuple[Backend, int]:
    """Return a process's backend for a run, and the number of shards of a batch.

    backend: may already compute in shards, see `Backend.in_shards`

    Raises:
        InputError: the shards cannot be shared equally among the processes
    """
    if communicator is ALONE:
        communicator = backend.ops.communicator
    given, count = settings["shards"], communicator.size
    shards = count if given == 1 else given
    if shards % count:
        divisors = ", ".join(str(n) for n in range(1, shards + 1) if shards % n == 0)
        raise InputError(
            f"{count} processes cannot share {shards} shards: start {divisors}, or "
            "begin a run with another number of --shards"
        )
    if shards > 1 and backend.ops.communicator is ALONE:
        backend = backend.in_shards(communicator)
    return backend, shards


def digest_of(data: Dataset, communicator: Communicator, *, needed: bool) -> str:
    """Return the data's digest, as in checkpoints; "" if nothing needs it.

    Raises:
        InputError: the processes do not have the same data
    """
    if not needed and communicator.size == 1:
        return ""
    own = digest(data)[: checkpoint.DIGITS]
    differs = gather(communicator, int(communicator.broadcast(own) != own))
    if any(differs):
        raise InputError(
            f"{data.name}: process {differs.index(1)} has other data than process 0"
        )
    return own
