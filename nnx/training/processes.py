"""A run that several processes share."""

from nnx.backend import Backend
from nnx.communicator import gather
from nnx.errors import InputError
from nnx.maths.shards import ALONE, Communicator
from nnx.settings import Settings


def share(
    backend: Backend, settings: Settings, communicator: Communicator
) -> tuple[Backend, int]:
    """Return the backend for a process of a run, and how many shards a batch has.

    backend: may be in shards already, which `Backend.in_shards` makes it

    Raises:
        InputError: shards that so many processes cannot share
    """
    if communicator is ALONE:
        communicator = backend.ops.communicator
    given, count = settings["shards"], communicator.size
    shards = count if given == 1 else given
    if shards % count:
        some = ", ".join(str(n) for n in range(1, shards + 1) if shards % n == 0)
        raise InputError(
            f"{count} processes cannot share {shards} shards: start {some}, or begin "
            "a run with others (--shards)"
        )
    if shards > 1 and backend.ops.communicator is ALONE:
        backend = backend.in_shards(communicator)
    return backend, shards


def check_equal(digest: str, name: str, communicator: Communicator) -> None:
    """Refuse data that are not the same in all processes.

    digest, name: of the data
    """
    differs = gather(communicator, int(communicator.broadcast(digest) != digest))
    if any(differs):
        raise InputError(
            f"{name}: process {differs.index(1)} has other data than process 0"
        )
