"""Compiling a run's kernels before the run, by two processes if there are two cores.

Numba compiles one function at a time per process. A helper process therefore compiles
the same kernels, last one first, until the two meet; each finds in the cache what the
other has compiled. The helper is this module, run as a program.
"""

import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

from nnx import cores
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.state import Images, State
from nnx_backends.numba_cpu import steps
from nnx_backends.numba_cpu.images import pixel_dtype
from nnx_backends.numba_cpu.kernel import Kernel
from nnx_backends.numba_cpu.program import every_kernel
from nnx_backends.numba_cpu.run import planned
from nnx_backends.numba_cpu.threads import Threads

# What compiling takes by two processes, and by one, on a server.
SHARED_SECONDS, ALONE_SECONDS = 5.0, 8.0
COMPILES = "compiling the kernels, once for this installation: about {:.0f} seconds"
COMPILES_ANEW = (
    "compiling the kernels, in every run, as Numba has no cache folder that it can "
    "write to: about {:.0f} seconds; set NUMBA_CACHE_DIR to one"
)
LOADED = 1.0  # seconds; a first kernel that takes longer was compiled, not loaded

# A helper's input: a function that lists a run's kernels, and the dtype to compile them
# for.
Job = tuple[Callable[[], list[Kernel]], Any]


def seconds(threads: int) -> float:
    """Return roughly how long a run will compile, or 0 if an earlier run did it."""
    folder = steps.train.stats.cache_path
    if folder is not None and any(Path(folder).glob("steps.train-*.nbc")):
        return 0.0
    return SHARED_SECONDS if threads > 1 and _can_share() else ALONE_SECONDS


def note(seconds: float) -> str:
    """Return a note that kernels will be compiled in these seconds; "" for 0."""
    text = COMPILES if steps.train.stats.cache_path else COMPILES_ANEW
    return text.format(seconds) if seconds else ""


def compile_kernels(
    state: State,
    images: Images,
    hyper: Hyperparameters,
    *,
    threads: Threads,
    rounds: bool,
) -> Iterator[float]:
    """Compile the kernels that a run needs; yield the share of them that is done."""
    shapes, evaluated = (
        planned(state.layers, hyper, threads.most, rounds=rounding)[1]
        for rounding in (rounds, False)
    )
    real = state.layers[0].weight.dtype
    weighted, pixels = images.weights is not None, pixel_dtype(images, real)
    how: dict[str, Any] = {"weighted": weighted, "evaluated": evaluated}
    list_kernels = partial(every_kernel, shapes, pixels, hyper, **how)
    kernels, compiles = list_kernels(), seconds(threads.most) > 0.0
    if not compiles:
        began = time.perf_counter()
        kernels[0].address(real)
        compiles = time.perf_counter() - began > LOADED
    share_out = compiles and threads.most > 1
    with _helper((list_kernels, real) if share_out else None) as its:
        reached = -1
        for mine, kernel in enumerate(kernels):
            now = min(mine + its(), len(kernels) - 1)
            if now > reached:
                yield now / len(kernels)
            reached = max(now, reached)
            kernel.address(real)


def _can_share() -> bool:
    """Return whether another process can compile at the same time, and pass it on."""
    # Windows has pipes that do not block since Python 3.12.
    pipes = hasattr(os, "set_blocking")
    return bool(steps.train.stats.cache_path) and pipes and cores.available() > 1


@contextmanager
def _helper(job: Job | None) -> Iterator[Callable[[], int]]:
    """Start a helper if possible; provide a function that counts its kernels."""
    helper = None
    if job and _can_share():
        with suppress(OSError):  # no room for another process
            helper = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
    if helper is None or helper.stdin is None or helper.stdout is None:
        yield lambda: 0
        return
    count, done = 0, helper.stdout.fileno()
    os.set_blocking(done, False)

    def its() -> int:
        nonlocal count
        with suppress(BlockingIOError):
            count += len(os.read(done, 4096))
        return count

    try:
        with suppress(OSError):  # it may have ended
            helper.stdin.write(pickle.dumps(job))
            helper.stdin.flush()
        yield its
    finally:
        helper.kill()
        helper.wait()
        with suppress(OSError):
            helper.stdin.close()
        helper.stdout.close()


def _help() -> None:
    """Compile the kernels, last one first, and write a byte after each."""
    list_kernels, real = pickle.load(sys.stdin.buffer)
    Thread(target=_end_with_parent, daemon=True).start()
    for kernel in reversed(list_kernels()):
        kernel.address(real)
        os.write(sys.stdout.fileno(), b".")


def _end_with_parent() -> None:
    """End this process when its parent has ended in any way: stdin then closes."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(0)


if __name__ == "__main__":
    _help()
