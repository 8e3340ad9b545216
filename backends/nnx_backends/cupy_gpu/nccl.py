"""Processes with a card each, which send arrays from card to card.

NCCL: NVIDIA Collective Communications Library, version 2.7 or later.
"""

import warnings
from functools import cache, partial
from typing import Any

from nnx.communicator import gather
from nnx.maths.arrays import Array
from nnx.maths.shards import Communicator
from nnx_backends.exchange import Exchange, total


def _nccl() -> Any:
    """Return CuPy's NCCL module; its `available` says whether it found the library."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # several lines on how to install NCCL
        from cupy.cuda import nccl
    return nccl


@cache
def joined(communicator: Communicator, cupy: Any) -> Communicator:
    """Return a communicator for arrays on cards; all processes must call this.

    communicator: of the same processes, through the hosts; it is returned if NCCL is
        missing in any process
    """
    nccl = _nccl()
    if not all(gather(communicator, int(nccl.available))):
        return communicator
    begins = communicator.rank == 0
    identity = communicator.broadcast(nccl.get_unique_id() if begins else None)
    own = nccl.NcclCommunicator(communicator.size, identity, communicator.rank)
    exchange = Exchange(
        cupy,
        communicator.size,
        partial(_all_gather, own, communicator.size, cupy, nccl),
        partial(_all_to_all, own, cupy, nccl),
    )
    return communicator._replace(total=partial(total, exchange))


def way() -> str:
    """Return how other processes' cards are reached, in words."""
    if _nccl().available:
        return "other cards are reached by NCCL"
    return (
        "other cards are reached through the hosts, as NCCL is missing: pip install "
        "nvidia-nccl-cu12 (or -cu13)"
    )


def _all_gather(own: Any, size: int, cupy: Any, nccl: Any, array: Array) -> Array:
    array = cupy.ascontiguousarray(array)
    every = cupy.empty((size, *array.shape), array.dtype)
    kind, stream = nccl.NCCL_CHAR, cupy.cuda.get_current_stream().ptr
    own.allGather(array.data.ptr, every.data.ptr, array.nbytes, kind, stream)
    return every


def _all_to_all(own: Any, cupy: Any, nccl: Any, pieces: Array) -> Array:
    stream, received = cupy.cuda.get_current_stream().ptr, cupy.empty_like(pieces)
    nccl.groupStart()
    for i, (sent, coming) in enumerate(zip(pieces, received, strict=True)):
        own.send(sent.data.ptr, sent.nbytes, nccl.NCCL_CHAR, i, stream)
        own.recv(coming.data.ptr, coming.nbytes, nccl.NCCL_CHAR, i, stream)
    nccl.groupEnd()
    return received
