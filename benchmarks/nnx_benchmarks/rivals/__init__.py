"""What nnx is compared with, each from the same weights on the same batches."""

from importlib import import_module

from nnx_benchmarks.trainer import Implementation

# Modules of this package, and what a user calls the library that each needs.
MODULES = {
    "plain_numpy": "NumPy",
    "sklearn_mlp": "scikit-learn",
    "torch_eager": "PyTorch",
    "jax_jit": "JAX",
}


def implementations() -> tuple[list[Implementation], dict[str, str]]:
    """Return the rivals that are installed, and why others are not."""
    found: list[Implementation] = []
    left_out = {}
    for module, library in MODULES.items():
        try:
            found += import_module(f"{__name__}.{module}").IMPLEMENTATIONS
        except ImportError as error:
            left_out[library] = f"{error}; pip install 'nnx-mlp[rivals]'"
    return found, left_out
