"""Which cores this process should use, and how many other processes keep busy."""

import os
import sys
import time
from functools import cache
from pathlib import Path
from typing import NamedTuple

CGROUP = Path("/sys/fs/cgroup/cpu.max")
CPUS = Path("/sys/devices/system/cpu")
STAT = Path("/proc/stat")
BUSY = 0.4  # a machine is busy if other processes use more cores than this


def available() -> int:
    """Return how many cores a team of threads should have, at least 1.

    As many as affinity and a container allow, without slow ones: see `preferred`. A
    limit of 1.5 cores counts as 2. Source of the format: the kernel's cgroup-v2.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(preferred())
    else:
        cores = _performance_cores() or os.cpu_count() or 1
    try:
        quota, period = CGROUP.read_text().split()
        limit = -(-int(quota) // int(period))
    except (OSError, ValueError):  # no such file, or "max": no limit
        return cores
    return min(cores, limit)


def preferred() -> set[int]:
    """Return the cores to use of those that affinity allows, on Linux.

    Threads have equal shares of the work and wait for the slowest: n cores are as fast
    as n times the slowest of them. If cores differ, as in ARM's big.LITTLE, the n
    fastest are used, with the n for which this product is largest.
    """
    fastest = sorted(os.sched_getaffinity(0), key=_capacity, reverse=True)
    speeds = {n: n * _capacity(core) for n, core in enumerate(fastest, 1)}
    return set(fastest[: max(speeds, key=lambda n: (speeds[n], n))])


def _performance_cores() -> int:
    """Return how many performance cores an Apple processor has, or 0; see sysctl(3)."""
    if sys.platform != "darwin":
        return 0
    import ctypes

    count, size = ctypes.c_int32(), ctypes.c_size_t(4)
    failed = ctypes.CDLL(None).sysctlbyname(
        b"hw.perflevel0.logicalcpu",
        ctypes.byref(count),
        ctypes.byref(size),
        None,
        ctypes.c_size_t(),
    )
    return 0 if failed else count.value


@cache
def _capacity(core: int) -> int:
    """Return a core's speed relative to the machine's fastest core, which has 1024.

    Source: the kernel's sysfs-devices-system-cpu.
    """
    try:
        return int((CPUS / f"cpu{core}" / "cpu_capacity").read_text())
    except (OSError, ValueError):
        return 1024


class Times(NamedTuple):
    """Readings of clocks, in seconds.

    now: a monotonic clock
    idle: total idle time of the `preferred` cores; None if unknown
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
    """Return the idle seconds of the `preferred` cores since boot; see proc_stat(5)."""
    try:
        lines = STAT.read_text().splitlines()
        names = {f"cpu{core}" for core in preferred()}
        cores = [line.split() for line in lines if line.split()[0] in names]
        ticks = sum(int(idle) + int(waiting) for _, _, _, _, idle, waiting, *_ in cores)
        return ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, AttributeError, IndexError):
        return None
