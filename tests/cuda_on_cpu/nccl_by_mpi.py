"""Train with CuPy in the processes of mpiexec, with MPI in NCCL's place.

python nccl_by_mpi.py FOLDER: saves the model, and prints how often NCCL was called.
The emulated device's memory is the host's, which is why MPI can read and write there.
"""

import ctypes
import sys
from collections import Counter
from typing import Any

import cupy
import numpy as np
from mpi4py import MPI

import nnx

CALLS = Counter[str]()


class Nccl:
    """What `cupy.cuda.nccl` has; no call but a group's end waits."""

    available, NCCL_CHAR = True, 0

    def __init__(self) -> None:
        self.waiting: list[Any] | None = None

    def get_unique_id(self) -> bytes:
        return b"of rank 0"

    def NcclCommunicator(self, size: int, identity: bytes, rank: int) -> "Nccl":  # noqa: N802
        CALLS["join"] += 1
        assert CALLS["join"] == 1  # and not for each of the training's calls
        assert (size, identity, rank) == (WORLD.size, b"of rank 0", WORLD.rank)
        return self

    def groupStart(self) -> None:  # noqa: N802
        self.waiting = []

    def groupEnd(self) -> None:  # noqa: N802
        assert self.waiting is not None
        MPI.Request.Waitall(self.waiting)
        self.waiting = None

    def send(self, at: int, count: int, kind: int, peer: int, stream: int) -> None:
        CALLS["send"] += 1
        assert self.waiting is not None
        self.waiting.append(WORLD.Isend(_bytes(at, count), peer))

    def recv(self, at: int, count: int, kind: int, peer: int, stream: int) -> None:
        assert self.waiting is not None
        self.waiting.append(WORLD.Irecv(_bytes(at, count), peer))

    def allGather(  # noqa: N802
        self, at: int, every: int, count: int, kind: int, stream: int
    ) -> None:
        CALLS["allGather"] += 1
        WORLD.Allgather(_bytes(at, count), _bytes(every, count * WORLD.size))


def _bytes(at: int, count: int) -> Any:
    return np.frombuffer((ctypes.c_char * count).from_address(at), np.uint8)


if __name__ == "__main__":
    WORLD = MPI.COMM_WORLD.Dup()
    sys.modules["cupy.cuda.nccl"] = cupy.cuda.nccl = Nccl()
    backend = nnx.find("cupy").in_shards(nnx.processes("mpi"))
    nnx.train(
        nnx.Network((64, 90, 10)),
        nnx.load("digits"),
        backend=backend,
        shards=4,
        batch_norm=True,
        optimizer="adam",
        epochs=1,
        batch_size=200,
        out=sys.argv[1],
    )
    if WORLD.rank == 0:
        print(CALLS["send"], CALLS["allGather"])
