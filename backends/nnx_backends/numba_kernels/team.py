"""What a team of threads needs inside compiled code: a barrier, and a share.

Each thread of a team runs the same function with a rank of its own. Between two
barriers it writes only what is its share, so that results do not depend on timing.
"""

import os
from typing import Any

from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

# So many looks at the counter before the processor is offered to others: a team
# that has all its cores meets within that, one that has not must not stand still.
PATIENCE = 4000

_give_way = types.ExternalFunction(
    "sched_yield" if os.name == "posix" else "SwitchToThread", types.int32()
)
_COUNTER = types.Array(types.int64, 1, "C")


@intrinsic
def _arrive(typing: Any, counter: Any) -> Any:
    """Add one to the counter, atomically, and return what it was."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(_COUNTER)(context, builder, args[0])
        one = context.get_constant(types.int64, 1)
        return builder.atomic_rmw("add", array.data, one, "seq_cst")

    return types.int64(_COUNTER), generate


@intrinsic
def _arrived(typing: Any, counter: Any) -> Any:
    """Return the counter, with everything the others wrote before they arrived."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(_COUNTER)(context, builder, args[0])
        return builder.load_atomic(array.data, "seq_cst", 8)

    return types.int64(_COUNTER), generate


@njit(nogil=True, cache=True)
def barrier(counter: Any, team: int) -> None:
    """Return once all threads of the team are here.

    counter: (1,), int64, that was zero when the team set out
    """
    if team == 1:
        return
    target = (_arrive(counter) // team + 1) * team
    looks = 0
    while _arrived(counter) < target:
        looks += 1
        if looks % PATIENCE == 0:
            _give_way()


@njit(nogil=True, cache=True)
def share(n: int, rank: int, team: int, grain: int) -> Any:
    """Return where this thread's part of n begins and ends, in whole grains."""
    grains = (n + grain - 1) // grain
    first = rank * grains // team * grain
    last = (rank + 1) * grains // team * grain
    return min(first, n), min(last, n)


@intrinsic
def _prefetch(typing: Any, array: Any, place: Any) -> Any:
    """Ask for the cache line that holds an element of a flat index."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        from llvmlite import ir

        data = context.make_array(array)(context, builder, args[0]).data
        address = builder.gep(data, [args[1]])
        i32 = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [address.type, i32, i32, i32])
        name = "llvm.prefetch.p0"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        # For reading, to be kept in every cache, as data.
        builder.call(function, [address, i32(0), i32(3), i32(1)])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@njit(nogil=True)
def prefetch(rows: Any, i: int) -> None:
    """Ask for row i of a contiguous matrix, line by line."""
    line = 64 // rows.itemsize
    for k in range(0, rows.shape[1], line):
        _prefetch(rows, i * rows.shape[1] + k)


@intrinsic
def gemm(
    typing: Any,
    address: Any,
    trans_a: Any,
    trans_b: Any,
    m: Any,
    n: Any,
    k: Any,
    alpha: Any,
    a: Any,
    a_at: Any,
    lda: Any,
    b: Any,
    b_at: Any,
    ldb: Any,
    beta: Any,
    c: Any,
    c_at: Any,
    ldc: Any,
) -> Any:
    """Call BLAS's gemm, C = alpha op(A) op(B) + beta C, on column-major matrices.

    address: of sgemm or dgemm with Fortran's calling convention, an integer
    trans_a, trans_b: the character codes of N and T
    a, b, c: contiguous arrays, with the place at which the matrix begins
    """
    real, i32 = a.dtype, types.int32
    matrices = [[array, types.intp, i32] for array in (a, b, c)]
    arguments = [types.intp, types.uint8, types.uint8, i32, i32, i32, real]
    arguments += [*matrices[0], *matrices[1], real, *matrices[2]]

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        from llvmlite import ir

        def by_reference(value: Any) -> Any:
            return cgutils.alloca_once_value(builder, value)

        def start(kind: Any, place: int) -> Any:
            array = context.make_array(kind)(context, builder, args[place])
            return builder.gep(array.data, [args[place + 1]])

        passed = [by_reference(value) for value in args[1:7]]
        passed += [start(a, 7), by_reference(args[9])]
        passed += [start(b, 10), by_reference(args[12])]
        passed += [by_reference(args[13])]
        passed += [start(c, 14), by_reference(args[16])]
        kind = ir.FunctionType(ir.VoidType(), [value.type for value in passed])
        function = builder.inttoptr(args[0], kind.as_pointer())
        builder.call(function, passed)
        return context.get_dummy_value()

    return types.void(*arguments), generate
