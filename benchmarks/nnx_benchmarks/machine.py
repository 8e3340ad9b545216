"""The machine that was measured: processor, libraries, BLAS kernels and threads."""

import platform
import subprocess
import sys
from typing import Any

from nnx import blas
from nnx.cores import available
from nnx.installation import pools, versions

PACKAGES = (
    "nnx-mlp", "numpy", "scipy", "numba", "scikit-learn", "torch", "jax",
    "cupy-cuda12x", "cupy-cuda13x",
)  # fmt: skip


def machine() -> dict[str, Any]:
    """Return the machine's facts for JSON; call this when all libraries are loaded."""
    name = blas.processor().get("model name")
    threads = pools("blas", "openmp")
    if torch := sys.modules.get("torch"):
        threads.append({"library": "torch", "threads": torch.get_num_threads()})
    return {
        "processor": name or platform.processor() or platform.machine(),
        "cores": available(),
        "cards": cards(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: v for name, v in versions(PACKAGES).items() if v},
        "threads": threads,
    }


def cards() -> list[str]:
    """Return each NVIDIA card's name, driver and memory."""
    query = "--query-gpu=name,driver_version,memory.total"
    command = ["nvidia-smi", query, "--format=csv,noheader"]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return ran.stdout.splitlines() if ran.returncode == 0 else []


def summary(machine: dict[str, Any]) -> str:
    """Return the machine in a line."""
    kernels = {
        f"{pool['library']} {pool['version']} {pool['kernels']} kernels"
        for pool in machine["threads"]
        if pool.get("kernels")
    }
    first = machine["processor"], f"{machine['cores']} cores"
    return " · ".join([*first, *sorted(kernels), *machine["cards"]])
