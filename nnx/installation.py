"""The versions of this installation, and the backends that it can use."""

import platform
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from nnx import __version__, blas, cores
from nnx.backend import Backend, find, usable
from nnx.errors import NnxError
from nnx.maths.hyperparameters import PRECISIONS

PACKAGES = (
    "numpy", "numba", "array-api-compat", "safetensors", "pillow", "matplotlib",
)  # fmt: skip


def info() -> dict[str, Any]:
    """Return versions, platform, cores, BLAS kernels, and which backends work here."""
    import numpy  # noqa: F401  # loads its BLAS, which is then reported

    working, why = usable()
    backends = {backend.name: _described(backend) for backend in working}
    backends |= {n: {"usable": False, "why": reason} for n, reason in why.items()}
    libraries = pools("blas")
    return {
        "nnx": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": cores.available(),
        "packages": versions(PACKAGES),
        "blas": libraries,
        "warning": blas.warning([str(library["kernels"]) for library in libraries]),
        "backends": dict(sorted(backends.items())),
    }


def _described(backend: Backend) -> dict[str, Any]:
    """Return a backend's device, and the precisions that it takes here besides full."""
    precisions = []
    for precision in PRECISIONS[1:]:
        with suppress(NnxError):
            find(backend.name, precision=precision)
            precisions.append(precision)
    return {"usable": True, "device": backend.device, "precisions": precisions}


def versions(packages: Iterable[str]) -> dict[str, str | None]:
    """Return each package's version; None if it is not installed."""
    installed = dict.fromkeys(packages)
    for name in installed:
        with suppress(PackageNotFoundError):
            installed[name] = version(name)
    return installed


def pools(*kinds: str) -> list[dict[str, Any]]:
    """Return each loaded library with a thread pool; kinds: "blas", "openmp"."""
    return [
        {
            "library": pool["internal_api"],
            "file": Path(pool["filepath"]).name,
            "version": pool["version"],
            "kernels": pool.get("architecture"),
            "threads": pool["num_threads"],
        }
        for pool in blas.threadpoolctl().threadpool_info()
        if pool["user_api"] in kinds
    ]
