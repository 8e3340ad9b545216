"""The floor: an epoch's matrix products and nothing else, in NumPy.

The products are those of the forward pass, of the weight gradients, and of the input
gradient of every layer but the first, where nothing uses it. They read arrays made
before, and write their results into others made before. No images are gathered, nothing
is added, and no activation is computed.

A fused kernel may be faster than the floor if the products are narrow: BLAS is slow for
ten columns.

OpenBLAS chooses its kernels when it is loaded, and does not always choose the fastest:
0.3.31 takes those for Haswell on AMD processors that have AVX-512. The floor is
therefore measured in processes of its own, with the kernels of this process and with
those for AVX-512, with one thread and with all; the fastest of them is the floor.

As a program, it reads a workload as JSON from the first line, then a number of images
from each line. It answers each number with the seconds for each number of threads.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from nnx.blas import VARIABLE, advised
from nnx.cores import available
from nnx.data.dataset import Array
from nnx.errors import NnxError
from nnx.maths.blocks import blocks
from nnx_benchmarks.workloads import Workload


class Products:
    """The products of a workload's steps.

    move: converts an array to another library's, whose matmul is called like NumPy's
    """

    def __init__(
        self,
        workload: Workload,
        move: Callable[[Array], Array] = lambda array: array,
        matmul: Callable[..., Array] = np.matmul,
    ) -> None:
        rng = np.random.default_rng(0)

        def drawn(*shape: int) -> Array:
            return move(rng.normal(size=shape).astype(np.float32))

        self.matmul, self.size = matmul, workload.batch_size
        self.outputs = [drawn(self.size, width) for width in workload.sizes]
        self.results = [drawn(self.size, width) for width in workload.sizes]
        self.weights = [drawn(*shape) for shape in pairwise(workload.sizes)]
        self.gradients = [drawn(*shape) for shape in pairwise(workload.sizes)]

    def seconds(self, images: int, threads: int) -> float:
        """Return how long an epoch's products take with so many BLAS threads."""
        with threadpool_limits(threads, user_api="blas"):
            began = time.perf_counter()
            for rows in blocks(images, self.size):
                self.step(rows.stop - rows.start)
            return time.perf_counter() - began

    def step(self, batch: int) -> None:
        """Compute the products of a step with so many images."""
        outputs = [output[:batch] for output in self.outputs]
        results = [result[:batch] for result in self.results]
        for i, weight in enumerate(self.weights):
            self.matmul(outputs[i], weight, out=results[i + 1])
        for i in reversed(range(len(self.weights))):
            self.matmul(outputs[i].T, outputs[i + 1], out=self.gradients[i])
            if i > 0:
                self.matmul(outputs[i + 1], self.weights[i].T, out=results[i])


@contextmanager
def floor(workload: Workload) -> Iterator[Callable[[int], dict[str, float]]]:
    """Provide a function that measures an epoch's products, in seconds.

    It returns them by kernels and threads. Each kind of kernels has a process, which
    sleeps between measurements.
    """
    better = advised()
    kinds = [""] if better in (None, os.environ.get(VARIABLE)) else ["", str(better)]
    with ExitStack() as stack:
        processes = {k: stack.enter_context(_process(k, workload)) for k in kinds}

        def seconds(images: int) -> dict[str, float]:
            return {
                f"{kernels or 'own'} kernels, {threads} threads": seconds
                for kernels, process in processes.items()
                for threads, seconds in json.loads(_ask(process, str(images))).items()
            }

        yield seconds


@contextmanager
def _process(kernels: str, workload: Workload) -> Iterator[Any]:
    """Provide a process with BLAS kernels of this name; "": those of this process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "nnx_benchmarks.floor"],
        env=os.environ | ({VARIABLE: kernels} if kernels else {}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C reaches its parent alone, which ends it
    )
    try:
        _ask(process, json.dumps(workload))
        yield process
    finally:
        process.kill()
        process.communicate()


def _ask(process: Any, line: str) -> str:
    """Return the process's answer, which is one line."""
    process.stdin.write(line + "\n")
    process.stdin.flush()
    answer = process.stdout.readline()
    if not answer:
        raise NnxError("the process that measures the floor has ended")
    return str(answer)


def main() -> None:
    """Answer on standard output until standard input ends."""
    sizes, *rest = json.loads(sys.stdin.readline())
    products = Products(Workload(tuple(sizes), *rest))
    print("ready", flush=True)
    for line in sys.stdin:
        threads = sorted({1, available()})
        answer = {n: products.seconds(int(line), n) for n in threads}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
