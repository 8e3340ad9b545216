"""Whole programs that train like `nnx train --preset quick`, with other libraries."""
