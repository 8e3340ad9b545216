"""What nnx is compared with, each from the same weights on the same batches."""

# Modules of this package, and what a user calls the library that each needs.
MODULES = {
    "plain_numpy": "NumPy",
    "sklearn_mlp": "scikit-learn",
    "pytorch": "PyTorch",
    "jax_jit": "JAX",
}
