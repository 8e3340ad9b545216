"""How many cores this process may use, and how many other processes keep busy."""

import os
import time
from pathlib import Path
from typing import NamedTuple

CGROUP = Path("/sys/fs/cgroup/cpu.max")
STAT = Path("/proc/stat")
BUSY = 0.4  # cores kept by other processes from which a machine counts as busy


def available() -> int:
    """Return the number of cores allowed by affinity and a container, at least 1.

    A limit of 1.5 cores counts as 2. Source of the format: the kernel's cgroup-v2.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    try:
        quota, period = CGROUP.read_text().split()
        limit = -(-int(quota) // int(period))
    except (OSError, ValueError):  # no such file, or "max": no limit
        return cores
    return max(1, min(cores, limit))


class Times(NamedTuple):
    """Readings of clocks, in seconds.

    now: a monotonic clock
    idle: total idle time of the cores that this process may use; None if unknown
    own: processor time of this process
    """

    now: float
    idle: float | None
    own: float


def times() -> Times:
    """Return the readings now, from which `busy` can measure."""
    return Times(time.monotonic(), _idle(), time.process_time())


def busy(since: Times) -> float:
    """Return how many available cores other processes kept from this one, on average.

    since: start of the measurement; 0 is returned if idle times are unknown
    """
    now = times()
    seconds = now.now - since.now
    if now.idle is None or since.idle is None or seconds <= 0.0:
        return 0.0
    free = (now.idle - since.idle + now.own - since.own) / seconds
    return max(0.0, available() - free)


def _idle() -> float | None:
    """Return the idle seconds of the usable cores since boot; see proc_stat(5)."""
    try:
        lines = STAT.read_text().splitlines()
        usable = {f"cpu{core}" for core in os.sched_getaffinity(0)}
        cores = [line.split() for line in lines if line.split()[0] in usable]
        ticks = sum(int(idle) + int(waiting) for _, _, _, _, idle, waiting, *_ in cores)
        return ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, AttributeError, IndexError):
        return None
