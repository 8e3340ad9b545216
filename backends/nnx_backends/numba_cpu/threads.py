"""Threads that run a team's function: as many as have a core to themselves."""

import ctypes
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Barrier, BrokenBarrierError, Thread
from typing import Any

import numpy as np

from nnx.cores import preferred
from nnx_backends.numba_cpu.team import Team

# A thread shares its core if it had less than this share of it, over so many seconds.
WHOLE_SHARE, PERIOD = 0.75, 0.05
# Seconds until a reduced team tries its full size again; doubled each time.
FIRST_PAUSE, LAST_PAUSE = 0.25, 4.0


class Threads:
    """Threads for one call after another, fewer while other programs use the cores.

    A thread that shares its core keeps all others waiting at every barrier, so that the
    team is faster without it. Results do not depend on the team's size.
    """

    def __init__(self, most: int) -> None:
        """most: the team's size while no other program uses its cores."""
        self.most = self._size = most
        self._pause, self._until = FIRST_PAUSE, 0.0
        self._shared = set[int | None]()
        self._seconds = np.zeros((2, most))

    def size(self, most: int) -> int:
        """Return how many threads the next team should have, 1 to most."""
        if self._size < self.most and time.perf_counter() >= self._until:
            self._size, self._shared = self.most, set()
        return max(1, min(self._size, most))

    def run(self, size: int, function: Callable[..., None], *shared: Any) -> None:
        """Call function(team, *shared) once for every rank, in a thread of its own.

        The calling thread takes rank 0. The function must release Python's GIL. Each
        call starts the other threads anew, so that two teams never wait for each other.
        Where one of them cannot start, the calling thread does everything.
        """
        counter = np.zeros(1, np.int64)
        if size == 1:
            function(Team(0, 1, counter), *shared)
            return
        ready, cores = Barrier(size), _cores(size, self._shared)
        seconds = np.zeros((2, size))

        def run(rank: int) -> None:
            with _on_core(cores[rank]):
                # Sleep until all have started: a thread that spins would keep the core
                # from one that has not. If one cannot start, none goes on.
                try:
                    ready.wait()
                except BrokenBarrierError:
                    return
                began = time.perf_counter(), time.thread_time()
                function(Team(rank, size, counter), *shared)
                ended = time.perf_counter(), time.thread_time()
                seconds[:, rank] = np.subtract(ended, began)

        others = [Thread(target=run, args=(i,), daemon=True) for i in range(1, size)]
        try:
            started = _started(others)
            if started < len(others):
                ready.abort()
                self._reduce(1 + started)
                function(Team(0, 1, counter), *shared)
                return
            run(0)
        except BaseException:
            ready.abort()
            raise
        for thread in others:
            thread.join()
        self._follow(cores, seconds)

    def _follow(self, cores: list[int | None], seconds: Any) -> None:
        """Reduce the team if some of its threads shared their cores for a whole period.

        seconds: (2, size), each thread's wall time and CPU time
        """
        if self._seconds.shape == seconds.shape:
            seconds = seconds + self._seconds
        self._seconds = seconds
        wall, busy = seconds
        if wall[0] < PERIOD:
            return
        shared = busy < WHOLE_SHARE * wall
        if shared.any():
            self._reduce(max(1, len(cores) - int(shared.sum())))
            self._shared = {core for core, s in zip(cores, shared, strict=True) if s}
        elif self._size == self.most:
            self._pause = FIRST_PAUSE
        self._seconds = np.zeros_like(seconds)

    def _reduce(self, size: int) -> None:
        """Use a smaller team until the next pause is over."""
        self._size = size
        self._until = time.perf_counter() + self._pause
        self._pause = min(2 * self._pause, LAST_PAUSE)


def _started(threads: list[Thread]) -> int:
    """Start threads until one cannot start; return how many started.

    The system may allow no more, as with ulimit -u, or have no memory for a stack.
    """
    for i, thread in enumerate(threads):
        try:
            thread.start()
        except RuntimeError:
            return i
    return len(threads)


def _cores(size: int, shared: set[int | None]) -> list[int | None]:
    """Return a core for each thread, the calling thread's first; None if not known.

    Two threads that share a core take turns at every barrier. To the scheduler, this
    looks like work, and it leaves them there for as long as they run. Slow cores come
    after the fast ones, of which there may be too few for a team that a user chose.

    shared: cores that other programs use, to be taken last
    """
    if not hasattr(os, "sched_setaffinity"):
        return [None] * size
    here, allowed = ctypes.CDLL(None).sched_getcpu(), os.sched_getaffinity(0)
    fast, beyond = preferred(), max(allowed) + 1

    def place(core: int) -> tuple[bool, bool, int]:
        return core in shared, core not in fast, (core - here) % beyond

    best = sorted(allowed, key=place)
    return list(best[:size]) if len(best) >= size else [None] * size


@contextmanager
def _on_core(core: int | None) -> Iterator[None]:
    """Pin this thread, and no other, to a core; restore its affinity afterwards."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    with suppress(OSError):  # a sandbox may refuse, or the core was taken away
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        with suppress(OSError):
            os.sched_setaffinity(0, before)
