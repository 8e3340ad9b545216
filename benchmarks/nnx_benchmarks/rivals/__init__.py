"""The libraries nnx is compared with, all from the same weights on the same batches."""

# Modules of this package, and the name of the library that each needs.
MODULES = {
    "plain_numpy": "NumPy",
    "sklearn_mlp": "scikit-learn",
    "pytorch": "PyTorch",
    "jax_jit": "JAX",
}
