"""How much memory this process may use."""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

CGROUP = Path("/sys/fs/cgroup/memory.max")
OWN_GROUPS = Path("/proc/self/cgroup")


def available() -> float:
    """Return the bytes that this process may use in total; inf if nothing is known.

    That is the memory of the machine, in use or not, limited by the container and by
    the shell (ulimit -v or -d). Source of the formats: the kernel's cgroup-v2 and
    cgroup-v1.
    """
    bounds = [math.inf]
    with suppress(AttributeError, OSError, ValueError):
        bounds.append(_of_machine())
    with suppress(ImportError):
        import resource

        for kind in resource.RLIMIT_AS, resource.RLIMIT_DATA:
            soft, _ = resource.getrlimit(kind)
            bounds.append(soft if soft != resource.RLIM_INFINITY else math.inf)
    for file in _limits():
        with suppress(OSError, ValueError):  # no such file, or "max": no limit
            bounds.append(int(file.read_text()))
    return min(bounds)


def _of_machine() -> float:
    """Return the bytes of the machine's memory, infinite if unknown."""
    if hasattr(os, "sysconf"):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    import ctypes

    # Windows' MEMORYSTATUSEX: its own size, then in bytes the total physical memory.
    status: Any = (ctypes.c_uint64 * 8)(64)
    ctypes.windll.kernel32.GlobalMemoryStatusEx(status)  # type: ignore[attr-defined]
    return float(status[1]) or math.inf


def _limits() -> Iterator[Path]:
    """Yield the files that may hold this process's cgroup limits; see cgroups(7)."""
    yield CGROUP
    with suppress(OSError, ValueError):
        for line in OWN_GROUPS.read_text().splitlines():
            _, kinds, path = line.split(":", 2)
            if kinds in ("", "memory"):
                name = "memory.limit_in_bytes" if kinds else "memory.max"
                top = CGROUP.parent / kinds
                for group in Path(path), *Path(path).parents:
                    yield top / str(group).lstrip("/") / name
