"""The processor's peak: multiply-adds per second, and bytes of memory per second.

Multiply-adds are counted in a loop of nothing else, on vectors that never leave their
registers. The loop is generated with LLVM, as neither Python nor BLAS can run one.
Memory is measured by copying arrays that no cache holds; each byte counts once as it is
read and once as it is written. All cores work at once; the best of a few trials counts.
"""

import ctypes
import platform
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from nnx.cores import available

TRIALS, TURNS, COPIED = 5, 4_000_000, 2**25
# Numbers per register, and sums that are computed side by side: a multiply-add takes
# four cycles, in which two to four others may begin. The factor needs a register too.
WIDTHS = {"avx512f": (16, 24), "avx2": (8, 12), "neon": (4, 24), "": (4, 12)}

Rates: TypeAlias = dict[str, float]


def processor(note: Callable[[str], None]) -> Callable[[], Rates]:
    """Return a function that measures the GFLOP/s and GB/s of all cores together.

    A multiply-add is two operations. Without llvmlite, operations are left out.
    """
    threads = available()
    arrays = [np.ones((2, COPIED // 4), np.float32) for _ in range(threads)]
    jobs = {
        "gigabytes_per_second": (2e-9 * COPIED, [partial(_copy, a) for a in arrays])
    }
    try:
        multiply_add, lanes, sums = _compiled()
    except ImportError as error:
        note(f"share of the processor's peak left out: {error}; pip install numba")
    else:
        work = [partial(multiply_add, a.ctypes.data, TURNS) for a in arrays]
        jobs["gflops"] = 2e-9 * lanes * sums * TURNS, work

    def rates() -> Rates:
        with ThreadPoolExecutor(threads) as team:
            return {
                name: threads
                * amount
                / min(_seconds(team, work) for _ in range(TRIALS))
                for name, (amount, work) in jobs.items()
            }

    return rates


def _seconds(team: ThreadPoolExecutor, work: Iterable[Callable[[], Any]]) -> float:
    """Return how long it takes until all threads have done their parts."""
    began = time.perf_counter()
    for done in [team.submit(part) for part in work]:
        done.result()
    return time.perf_counter() - began


def _copy(array: Any) -> None:
    np.copyto(array[0], array[1])


def _compiled() -> tuple[Callable[[int, int], None], int, int]:
    """Return the loop, called with (data's address, turns), its lanes and its sums.

    ctypes releases Python's GIL while it runs.

    Raises:
        ImportError: there is no llvmlite
    """
    from llvmlite import binding, ir

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    has = binding.get_host_cpu_features()
    # All 64-bit ARM processors have NEON; on macOS, LLVM lists nothing.
    arm = platform.machine().lower() in ("arm64", "aarch64")
    known = {"": True, "neon": arm} | has
    lanes, sums = next(size for name, size in WIDTHS.items() if known.get(name))
    target = binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(), features=has.flatten(), opt=3
    )
    module = binding.parse_assembly(str(_module(ir, lanes, sums)))
    engine = binding.create_mcjit_compiler(module, target)
    engine.finalize_object()
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
    function: Any = kind(engine.get_function_address("multiply_add"))
    function.engine = engine  # which owns the code's memory
    return function, lanes, sums


def _module(ir: Any, lanes: int, sums: int) -> Any:
    """Return the loop as an LLVM module: sum = factor · factor + sum, for each sum."""
    kind, i64 = ir.VectorType(ir.FloatType(), lanes), ir.IntType(64)
    module = ir.Module()
    signature = ir.FunctionType(ir.VoidType(), [kind.as_pointer(), i64])
    function = ir.Function(module, signature, "multiply_add")
    fma = ir.FunctionType(kind, [kind] * 3)
    fma = ir.Function(module, fma, f"llvm.fmuladd.v{lanes}f32")
    start, loop, end = (function.append_basic_block() for _ in range(3))
    data, turns = function.args

    build = ir.IRBuilder(start)
    places = [build.gep(data, [i64(i)]) for i in range(sums + 1)]
    *before, factor = [build.load(place, align=4) for place in places]
    build.branch(loop)
    build.position_at_end(loop)
    now = [build.phi(value.type) for value in (turns, *before)]
    after = [build.call(fma, [factor, factor, sum_]) for sum_ in now[1:]]
    left = build.sub(now[0], i64(1))
    for phi, first, later in zip(now, (turns, *before), (left, *after), strict=True):
        phi.add_incoming(first, start)
        phi.add_incoming(later, loop)
    build.cbranch(build.icmp_unsigned(">", left, i64(0)), loop, end)
    build.position_at_end(end)
    for place, sum_ in zip(places, after, strict=False):
        build.store(sum_, place, align=4)
    build.ret_void()
    return module
