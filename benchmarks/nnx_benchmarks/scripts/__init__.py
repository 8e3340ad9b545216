"""Whole programs that train as `nnx train --preset quick` does, by other libraries."""
