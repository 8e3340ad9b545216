"""A team of threads: how it is run, and what it needs inside compiled code.

Each thread of a team runs the same function with a rank of its own. Between two
barriers it writes only what is its part, so that results do not depend on timing.
"""

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Barrier, Thread
from typing import Any, NamedTuple

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from nnx.maths.arrays import Array

# So many looks at the counter before the processor is offered to others: a team
# that has all its cores meets within that, one that has not must not stand still.
PATIENCE = 4000

_give_way = types.ExternalFunction(
    "sched_yield" if os.name == "posix" else "SwitchToThread", types.int32()
)
_COUNTER = types.Array(types.int64, 1, "C")


class Team(NamedTuple):
    """A team, as one of its threads sees it.

    rank: the thread's, in [0, size)
    counter: (1,) int64, how often any of them has come to a barrier
    """

    rank: int
    size: int
    counter: Array


def read_only(array: Array) -> Array:
    """Return a view that may not be written to.

    Numba compiles anew for arrays that may and may not be, so that what a function only
    reads is always passed like this.
    """
    view = array.view()
    view.flags.writeable = False
    return view


def run_team(size: int, function: Callable[..., None], *shared: Any) -> None:
    """Call function(team, *shared) once for every rank, in a thread of its own.

    This thread is among them. The function must not hold Python's lock.

    Its other threads are its own, so that two teams never wait for each other.
    """
    counter = np.zeros(1, np.int64)
    if size == 1:
        function(Team(0, 1, counter), *shared)
        return
    ready = Barrier(size)

    def run(rank: int, core: int | None) -> None:
        with _on_core(core):
            # Asleep until all are there: one that spins would keep the processor from
            # one that has not begun.
            ready.wait()
            function(Team(rank, size, counter), *shared)

    cores = _cores(size)
    others = [
        Thread(target=run, args=(rank, cores[rank]), daemon=True)
        for rank in range(1, size)
    ]
    for thread in others:
        thread.start()
    run(0, cores[0])
    for thread in others:
        thread.join()


def _cores(size: int) -> list[int | None]:
    """Return a core for each thread, this one's first; None where that is not known.

    Two that share a core take turns at every barrier, which looks like work to the
    scheduler: it leaves them there for as long as they run.
    """
    if not hasattr(os, "sched_setaffinity"):
        return [None] * size
    here, usable = ctypes.CDLL(None).sched_getcpu(), os.sched_getaffinity(0)
    nearest = sorted(usable, key=lambda core: (core - here) % (max(usable) + 1))
    return list(nearest[:size]) if len(nearest) >= size else [None] * size


@contextmanager
def _on_core(core: int | None) -> Iterator[None]:
    """Keep this thread, and no other, on a core; where it may run is put back."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    with suppress(OSError):  # a sandbox may refuse, and a core be taken away
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        with suppress(OSError):
            os.sched_setaffinity(0, before)


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
    """Return the counter, with everything the others wrote before they arrived."""

    def generate(context, builder, signature, args):
        array = context.make_array(_COUNTER)(context, builder, args[0])
        return builder.load_atomic(array.data, "seq_cst", 8)

    return types.int64(_COUNTER), generate


@njit(nogil=True)
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


@njit(nogil=True)
def partition(n, grain, team):
    """Return where this thread's part of n begins and ends, in whole grains."""
    grains = (n + grain - 1) // grain
    first = team.rank * grains // team.size * grain
    last = (team.rank + 1) * grains // team.size * grain
    return min(first, n), min(last, n)
