"""The plain maths with the factors of its products rounded to bfloat16.

It is the reference for backends that multiply in bfloat16. Sums, and all operations
other than products, are NumPy's.
"""

from typing import Any

import numpy as np

from nnx.backend import Backend
from nnx.maths.arrays import Array
from nnx.maths.ops import Ops


def rounded(numbers: Array) -> Array:
    """Return numbers as float32, rounded to the nearest bfloat16, ties to even.

    A bfloat16 is the upper half of a float32: 8 bits of exponent and 7 of fraction.
    """
    bits = np.ascontiguousarray(numbers, np.float32).view(np.uint32)
    nearest = bits + (np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1)))
    values: Array = (nearest & np.uint32(0xFFFF0000)).view(np.float32)
    return values


class RoundedFactors(np.ndarray[Any, Any]):
    """An array whose products round both factors; so do arrays computed from it."""

    def __matmul__(self, other: Any) -> Any:
        return _product(self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return _product(other, self)


def _product(a: Array, b: Array) -> Any:
    real = np.result_type(a, b)
    exact = rounded(a).astype(np.float64) @ rounded(b).astype(np.float64)
    return exact.astype(real).view(RoundedFactors)


def reference() -> Backend:
    """Return a backend with the plain maths and products of rounded factors."""
    return Backend(
        name="rounded factors",
        device="cpu",
        ops=Ops(np),
        from_numpy=lambda array: np.asarray(array).view(RoundedFactors),
        to_numpy=lambda array: np.asarray(array).view(np.ndarray),
    )
