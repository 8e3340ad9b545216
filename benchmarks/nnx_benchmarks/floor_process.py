"""The floor with other BLAS kernels than this process has, in processes of its own.

OpenBLAS chooses its kernels when it is loaded, and does not always choose the fastest:
0.3.31 takes those for Haswell on AMD processors that have AVX-512. So the floor is
measured with the kernels that this process has and with those for AVX-512, with one
thread and with all, and the fastest of them is the floor.

As a program: a workload as JSON on the first line, then a number of images on each; to
each an answer of seconds, one for each number of threads.
"""

import json
import os
import subprocess
import sys
from types import TracebackType
from typing import Any, Self

from nnx.blas import VARIABLE, advised
from nnx.cores import available
from nnx.errors import NnxError
from nnx_benchmarks.workloads import Workload


class Floor:
    """One process for each kind of kernels; they sleep until they are asked."""

    def __init__(self, workload: Workload) -> None:
        self.kernels = _kernels()
        self.processes = [_start(kernels, workload) for kernels in self.kernels]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()

    def epoch(self, images: int) -> dict[str, float]:
        """Return the seconds of an epoch's products, by kernels and threads."""
        found = {}
        for kernels, process in zip(self.kernels, self.processes, strict=True):
            answer = json.loads(_asked(process, str(images)))
            for threads, seconds in answer.items():
                found[f"{kernels or 'own'} kernels, {threads} threads"] = seconds
        return found


def _kernels() -> list[str]:
    """Return the names of kernels to try; "" is those that this process has."""
    better = advised()
    return [""] if better in (None, os.environ.get(VARIABLE)) else ["", str(better)]


def _start(kernels: str, workload: Workload) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-m", "nnx_benchmarks.floor_process"],
        env=os.environ | ({VARIABLE: kernels} if kernels else {}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a Ctrl-C is for its parent, which ends it
    )
    _asked(process, json.dumps(workload))
    return process


def _asked(process: Any, line: str) -> str:
    """Return the process's answer, which is one line."""
    process.stdin.write(line + "\n")
    process.stdin.flush()
    answer = process.stdout.readline()
    if not answer:
        raise NnxError("the process that measures the floor has ended")
    return str(answer)


def main() -> None:
    """Answer on standard output until standard input ends."""
    from nnx_benchmarks.floor import Products

    sizes, *rest = json.loads(sys.stdin.readline())
    products = Products(Workload(tuple(sizes), *rest))
    print("ready", flush=True)
    for line in sys.stdin:
        threads = sorted({1, available()})
        answer = {n: products.seconds(int(line), n) for n in threads}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
