"""A team of threads inside compiled code; `threads` starts them.

Each thread of a team runs the same function with a rank of its own. Between two
barriers it writes only its own part, so that results do not depend on timing.
"""

import os
from typing import NamedTuple

from numba import types
from numba.extending import intrinsic

from nnx.maths.arrays import Array
from nnx_backends.numba_cpu.cache import inner_njit

# Reads of the counter before a waiting thread yields its core. A team with a core for
# each thread meets sooner; a team without must yield to make progress.
PATIENCE = 4000

_give_way = types.ExternalFunction(
    "sched_yield" if os.name == "posix" else "SwitchToThread", types.int32()
)
_COUNTER = types.Array(types.int64, 1, "C")


class Team(NamedTuple):
    """A team, as one of its threads sees it.

    rank: the thread's, in [0, size)
    counter: (1,) int64, how often threads have arrived at barriers, all together
    """

    rank: int
    size: int
    counter: Array


@intrinsic
def _arrive(typing, counter):
    """Add one to the counter, atomically, and return what it was."""

    def generate(context, builder, signature, args):
        array = context.make_array(_COUNTER)(context, builder, args[0])
        one = context.get_constant(types.int64, 1)
        return builder.atomic_rmw("add", array.data, one, "seq_cst")

    return types.int64(_COUNTER), generate


@intrinsic
def _arrived(typing, counter):
    """Return the counter; what the others wrote before they arrived is then visible."""

    def generate(context, builder, signature, args):
        array = context.make_array(_COUNTER)(context, builder, args[0])
        return builder.load_atomic(array.data, "seq_cst", 8)

    return types.int64(_COUNTER), generate


@inner_njit()
def barrier(team):
    """Return once all threads of the team are here."""
    if team.size == 1:
        return
    target = (_arrive(team.counter) // team.size + 1) * team.size
    looks = 0
    while _arrived(team.counter) < target:
        looks += 1
        if looks % PATIENCE == 0:
            _give_way()


@inner_njit()
def partition(n, grain, team):
    """Return the first and the last + 1 of this thread's part of n, in whole grains."""
    grains = (n + grain - 1) // grain
    first = team.rank * grains // team.size * grain
    last = (team.rank + 1) * grains // team.size * grain
    return min(first, n), min(last, n)
