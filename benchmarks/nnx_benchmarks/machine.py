"""What was measured on: processor, libraries, BLAS kernels and threads."""

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_info

from nnx.cores import available

PACKAGES = (
    "nnx-mlp", "numpy", "scipy", "numba", "scikit-learn", "torch", "jax",
    "cupy-cuda12x", "cupy-cuda13x",
)  # fmt: skip


def machine() -> dict[str, Any]:
    """Return what JSON says of the machine; ask when all libraries are loaded."""
    return {
        "processor": processor(),
        "cores": available(),
        "cards": cards(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "threads": _threads(),
    }


def load() -> float | None:
    """Return how many other processes have lately kept a core; ask before measuring."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def processor() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2] for line in lines if line.startswith("model name")]
    return names[0].strip() if names else platform.processor() or platform.machine()


def cards() -> list[str]:
    """Return each NVIDIA card's name, driver and memory."""
    query = "--query-gpu=name,driver_version,memory.total"
    command = ["nvidia-smi", query, "--format=csv,noheader"]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return ran.stdout.splitlines() if ran.returncode == 0 else []


def _threads() -> list[dict[str, Any]]:
    """Return each pool of threads that is loaded: BLAS, OpenMP, PyTorch's."""
    pools = [
        {
            "library": pool["internal_api"],
            "file": Path(pool["filepath"]).name,
            "version": pool["version"],
            "kernels": pool.get("architecture"),
            "threads": pool["num_threads"],
        }
        for pool in threadpool_info()
    ]
    if torch := sys.modules.get("torch"):
        pools.append({"library": "torch", "threads": torch.get_num_threads()})
    return pools


def summary(machine: dict[str, Any]) -> str:
    """Return the machine in a line."""
    blas = {
        f"{pool['library']} {pool['version']} {pool['kernels']} kernels"
        for pool in machine["threads"]
        if pool.get("kernels")
    }
    cores = f"{machine['cores']} cores"
    return " · ".join([machine["processor"], cores, *sorted(blas), *machine["cards"]])


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
