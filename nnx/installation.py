"""What this installation is, and what it can use."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from nnx import __version__, blas, cores
from nnx.backend import usable

PACKAGES = (
    "numpy", "scipy", "numba", "array-api-compat", "scikit-learn", "safetensors",
    "pillow",
)  # fmt: skip


def info() -> dict[str, Any]:
    """Return versions, the processor, BLAS kernels, and each backend or why not."""
    import numpy  # noqa: F401  # so that its BLAS is there to be asked

    working, why = usable()
    backends: dict[str, dict[str, Any]] = {
        backend.name: {"usable": True, "device": backend.device} for backend in working
    }
    backends |= {n: {"usable": False, "why": reason} for n, reason in why.items()}
    libraries = [
        {
            "library": library["internal_api"],
            "version": library["version"],
            "kernels": library.get("architecture"),
            "threads": library["num_threads"],
        }
        for library in _libraries()
        if library["user_api"] == "blas"
    ]
    return {
        "nnx": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": cores.available(),
        "packages": {name: _version(name) for name in PACKAGES},
        "blas": libraries,
        "warning": blas.warning([str(library["kernels"]) for library in libraries]),
        "backends": dict(sorted(backends.items())),
    }


def _libraries() -> list[dict[str, Any]]:
    """Return what threadpoolctl reports, without the variable that its import sets."""
    name = "KMP_DUPLICATE_LIB_OK"
    before = os.environ.get(name)
    from threadpoolctl import threadpool_info

    if before is None:
        os.environ.pop(name, None)
    libraries: list[dict[str, Any]] = threadpool_info()
    return libraries


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
