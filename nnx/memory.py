"""How much memory this process may have."""

import math
import os
from contextlib import suppress
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup/memory.max")


def available() -> float:
    """Return the bytes, those that are in use counted; inf where nothing is known.

    The machine's, and no more than a container or the shell allows (ulimit -v). Source
    of the format: the kernel's cgroup-v2.
    """
    bounds = [math.inf]
    with suppress(AttributeError, OSError, ValueError):
        bounds.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with suppress(ImportError):
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        bounds.append(soft if soft != resource.RLIM_INFINITY else math.inf)
    with suppress(OSError, ValueError):  # no such file, or "max": no limit
        bounds.append(int(CGROUP.read_text()))
    return min(bounds)
