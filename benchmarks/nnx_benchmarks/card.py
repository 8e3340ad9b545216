"""The peak rates of an NVIDIA card, and the costs of launches and barriers.

The floor, an epoch's matrix products, is measured with PyTorch, as CuPy puts no product
into a CUDA graph. If products were launched one by one, the host would be measured.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain, repeat, starmap
from typing import Any

import numpy as np

import nnx
from nnx.backend import Backend
from nnx.errors import NnxError
from nnx.maths.blocks import blocks
from nnx_benchmarks.floor import Products
from nnx_benchmarks.measure import Note, in_turn
from nnx_benchmarks.peak import Rates
from nnx_benchmarks.report import Report, Table, times
from nnx_benchmarks.workloads import Workload

TRIALS, SIDE, COPIED = 5, 8192, 2**30
TURNS, THREADS = 1000, 256
NOTHING = 'extern "C" __global__ void nothing() {}'
BARRIERS = r"""
#include <cooperative_groups.h>

extern "C" __global__ void library_barrier(int turns, unsigned* count) {
    cooperative_groups::grid_group grid = cooperative_groups::this_grid();
    for (int i = 0; i < turns; ++i) grid.sync();
}

// Every block adds one to a count, and waits until all have.
extern "C" __global__ void counter_barrier(int turns, unsigned* count) {
    for (unsigned i = 1; i <= turns; ++i) {
        __syncthreads();
        if (threadIdx.x == 0) {
            __threadfence();
            atomicAdd(count, 1u);
            while (*(volatile unsigned*)count < i * gridDim.x) {}
            __threadfence();
        }
        __syncthreads();
    }
}
"""
UNITS = {
    "gigabytes_per_second": ("copy in memory", "GB/s"),
    "gflops": ("float32 products", "GFLOP/s"),
    "tf32_gflops": ("TF32 products", "GFLOP/s"),
    "launch": ("launch of a kernel by CuPy", "µs"),
    "graph": ("launch of a graph of one kernel", "µs"),
    "node": ("kernel more in a graph", "µs"),
    "library_barrier": ("grid barrier, cooperative_groups", "µs"),
    "counter_barrier": ("grid barrier, a counter", "µs"),
}
COLUMNS = [
    ("what", "what", "{}"),
    ("median", "value", "{:,.2f}"),
    ("range", "range", "{0[0]:,.2f}–{0[1]:,.2f}"),
    ("unit", "unit", "{}"),
]
LEGEND = (
    f"copy: of {COPIED / 2**30:.0f} GiB, bytes read and written; products: of square "
    f"matrices of {SIDE}; barrier: one of {TURNS} in a cooperative launch of a block "
    f"of {THREADS} threads on each multiprocessor"
)


def measure(
    backend: Backend, images: object, rounds: int, note: Note
) -> Iterator[Report]:
    """Yield a report of a card's rates and costs.

    backend: CuPy's, on the card; images: not used
    """
    with backend.scope():
        work = {"rates": rates(note), "costs": costs()}
        jobs = {name: starmap(measure, repeat(())) for name, measure in work.items()}
        trials = in_turn(jobs, rounds, note)
    rows = []
    for key, (what, unit) in UNITS.items():
        measured = [speeds[key] for speeds in chain(*trials.values()) if key in speeds]
        row = times(measured, "value", "range")
        rows.append({"what": what, "unit": unit, "no_speed_because": None} | row)
    table = Table(backend.device, COLUMNS, [row for row in rows if row["range"]])
    yield Report([table], {"device": backend.device}, LEGEND)


def rates(note: Note) -> Callable[[], Rates]:
    """Return a function that measures GB/s and GFLOP/s, like `peak.processor`'s.

    It measures the current device.

    Raises:
        ImportError, NnxError: CuPy cannot be used
    """
    import cupy

    device = str(cupy.cuda.Device().id)
    ways = {"gflops": nnx.find("cupy", device=device)}
    try:
        ways["tf32_gflops"] = nnx.find("cupy", device=device, precision="tf32")
    except NnxError as error:
        note(f"TF32 left out: {error}")
    with ways["gflops"].scope():
        copies = cupy.ones((2, COPIED // 4), cupy.float32)
        drawn = np.random.default_rng(0).random((2, SIDE, SIDE), np.float32)
        a, b = cupy.asarray(drawn - np.float32(0.5))
        c = cupy.empty_like(a)

    def measured() -> Rates:
        seconds = _fastest(cupy, lambda: cupy.copyto(*copies))
        speeds = {"gigabytes_per_second": 2e-9 * COPIED / seconds}
        for name, way in ways.items():
            with way.scope():
                seconds = _fastest(cupy, lambda: cupy.matmul(a, b, out=c))
            speeds[name] = 2e-9 * SIDE**3 / seconds
        return speeds

    return measured


def costs() -> Callable[[], Rates]:
    """Return a function that measures the microseconds of launches and grid barriers.

    It measures the current device.

    Raises:
        ImportError, NnxError: CuPy cannot be used
    """
    import cupy

    device = cupy.cuda.Device()
    blocks = device.attributes["MultiProcessorCount"]
    nothing = cupy.RawKernel(NOTHING, "nothing")
    module = cupy.RawModule(code=BARRIERS, enable_cooperative_groups=True)
    one, many = (_graph(cupy, nothing, count) for count in (1, TURNS))

    def launches() -> None:
        for _ in range(TURNS):
            nothing((1,), (1,), ())

    def barriers(name: str, turns: int) -> float:
        kernel, count = module.get_function(name), cupy.zeros(1, cupy.uint32)
        given = cupy.int32(turns), count
        return _seconds(cupy, lambda: kernel((blocks,), (THREADS,), given))

    def measured() -> Rates:
        seconds = {
            "launch": _fastest(cupy, launches) / TURNS,
            "graph": _fastest(cupy, one),
        }
        seconds["node"] = (_fastest(cupy, many) - seconds["graph"]) / TURNS
        for name in "library_barrier", "counter_barrier":
            none = min(barriers(name, 0) for _ in range(TRIALS))
            seconds[name] = (barriers(name, TURNS) - none) / TURNS
        return {name: 1e6 * value for name, value in seconds.items()}

    return measured


def _graph(cupy: Any, kernel: Any, count: int) -> Callable[[], None]:
    """Return a function that launches a graph of `count` successive kernel calls."""
    kernel((1,), (1,), ())
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        for _ in range(count):
            kernel((1,), (1,), ())
        graph = stream.end_capture()
    return lambda: graph.launch()


def _fastest(cupy: Any, work: Callable[[], Any]) -> float:
    """Return the seconds of the fastest of a few trials."""
    work()
    return min(_seconds(cupy, work) for _ in range(TRIALS))


def _seconds(cupy: Any, work: Callable[[], Any]) -> float:
    """Return the seconds that work takes by the card's own clock."""
    begun, ended = cupy.cuda.Event(), cupy.cuda.Event()
    begun.record()
    work()
    ended.record()
    ended.synchronize()
    return 1e-3 * float(cupy.cuda.get_elapsed_time(begun, ended))


def has_floor(note: Note) -> bool:
    """Return whether the floor can be measured; if not, note why."""
    try:
        with floor(Workload((2, 2), "relu", 1)) as products:
            products(1)
    except Exception as error:
        # Whatever PyTorch raises, speeds are still measured.
        note(f"matrix products left out: on a card they are PyTorch's: {error}")
        return False
    return True


@contextmanager
def floor(workload: Workload) -> Iterator[Callable[[int], dict[str, float]]]:
    """Provide a function that measures an epoch's products, as `floor.floor` does.

    Raises:
        ImportError: there is no PyTorch
    """
    import torch

    from nnx_benchmarks.rivals.torch_graph import captured

    products = Products(
        workload, lambda array: torch.from_numpy(array).cuda(), torch.matmul
    )
    steps: dict[int, Callable[[], Any]] = {}

    def seconds(images: int) -> dict[str, float]:
        sizes = [rows.stop - rows.start for rows in blocks(images, products.size)]
        for size in {*sizes} - {*steps}:
            steps[size] = captured(partial(products.step, size))
        torch.cuda.synchronize()
        began = time.perf_counter()
        for size in sizes:
            steps[size]()
        torch.cuda.synchronize()
        return {"cuBLAS in a CUDA graph": time.perf_counter() - began}

    yield seconds
