"""What nnx is compared with, each from the same weights on the same batches."""

from collections.abc import Iterable
from importlib import import_module

from nnx_benchmarks.trainer import Implementation

# Modules of this package, and what a user calls the library that each needs.
MODULES = {
    "plain_numpy": "NumPy",
    "sklearn_mlp": "scikit-learn",
    "torch_eager": "PyTorch",
    "jax_jit": "JAX",
}


def implementations(
    modules: Iterable[str],
) -> tuple[list[Implementation], dict[str, str]]:
    """Return the rivals of these modules that are installed, and why others are not."""
    installed: list[Implementation] = []
    left_out = {}
    for module in modules:
        try:
            installed += import_module(f"{__name__}.{module}").IMPLEMENTATIONS
        except ImportError as error:
            left_out[MODULES[module]] = f"{error}; pip install 'nnx-mlp[rivals]'"
    return installed, left_out
