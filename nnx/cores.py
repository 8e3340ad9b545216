"""How many cores this process may really use."""

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup/cpu.max")


def available() -> int:
    """Return the number of cores, at least 1: affinity and a container's limit counted.

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
