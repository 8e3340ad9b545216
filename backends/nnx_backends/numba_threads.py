"""A team of threads for one call of a compiled function."""

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Barrier, Thread
from typing import Any

from nnx.maths.kernels import Array


def read_only(array: Array) -> Array:
    """Return a view that may not be written to.

    Numba compiles anew for arrays that may and may not be, so that what a function only
    reads is always passed like this.
    """
    view = array.view()
    view.flags.writeable = False
    return view


def together(team: int, function: Callable[..., None], *shared: Any) -> None:
    """Call function(rank, team, *shared) once for every rank, in a thread of its own.

    This thread is among them. The function must not hold Python's lock.

    Its other threads are its own, so that two teams never wait for each other.
    """
    if team == 1:
        function(0, 1, *shared)
        return
    ready = Barrier(team)

    def run(rank: int, core: int | None) -> None:
        with _on_core(core):
            # Asleep until all are there: one that spins would keep the processor from
            # one that has not begun.
            ready.wait()
            function(rank, team, *shared)

    cores = _cores(team)
    others = [
        Thread(target=run, args=(rank, cores[rank]), daemon=True)
        for rank in range(1, team)
    ]
    for thread in others:
        thread.start()
    run(0, cores[0])
    for thread in others:
        thread.join()


def _cores(team: int) -> list[int | None]:
    """Return a core for each thread, this one's first; None where that is not known.

    Two that share a core take turns at every barrier, which looks like work to the
    scheduler: it leaves them there for as long as they run.
    """
    if not hasattr(os, "sched_setaffinity"):
        return [None] * team
    here, usable = ctypes.CDLL(None).sched_getcpu(), os.sched_getaffinity(0)
    nearest = sorted(usable, key=lambda core: (core - here) % (max(usable) + 1))
    return list(nearest[:team]) if len(nearest) >= team else [None] * team


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
