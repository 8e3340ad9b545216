"""What a team of threads needs inside compiled code: a barrier, and a share.

Each thread of a team runs the same function with a rank of its own. Between two
barriers it writes only what is its share, so that results do not depend on timing.
"""

import os
from typing import Any

from llvmlite import ir
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


@njit(nogil=True)
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


@njit(nogil=True)
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
def prefetch(rows: Any, i: int, left: int, right: int) -> None:
    """Ask for columns [left, right) of row i of a contiguous matrix, line by line."""
    line = 64 // rows.itemsize
    for k in range(left, right, line):
        _prefetch(rows, i * rows.shape[1] + k)
