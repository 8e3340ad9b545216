"""How far arrays, and trees of them, are from those of the plain maths in float64."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from nnx.maths.arrays import Array, map_arrays, named_arrays
from nnx.maths.ops import Ops
from nnx.maths.state import Parameters

PLAIN = Ops(np)
# How large a relative error may be, by the dtype that is computed in.
BOUNDS = {"float64": 1e-12, "float32": 1e-5}
# What a step may round off the largest parameter: a backend may take a gradient off
# part by part, and round with each.
LAST_DIGITS = 4


class Agreement(NamedTuple):
    """How far a backend's results are from those that they are compared with.

    network: the case, such as 784-128-10 tanh l2
    max_relative_error: of all arrays, each over its largest entry; infinite where a
        dtype or a shape is wrong, or a number is not finite
    bound: how large it may be
    """

    backend: str
    dtype: str
    network: str
    max_relative_error: float
    bound: float

    @property
    def within_bound(self) -> bool:
        """Whether the backend agrees."""
        return self.max_relative_error <= self.bound


def moved(tree: Any, move: Callable[[Array], Array]) -> Any:
    """Return a tree, its arrays moved to a device or off it; a number is no array."""
    return map_arrays(lambda x: x if isinstance(x, int) else move(x), tree)


def errors(got: Any, expected: Any, dtype: str) -> dict[str, float]:
    """Return the relative error of every array of a tree, by the array's place.

    got: of this dtype, and of integers where the expected are
    """
    pairs = _paired(got, expected)
    return {name: relative_error(*pair, dtype) for name, pair in pairs.items()}


def change_errors(
    before: Parameters, got: Parameters, expected: Parameters, count: int
) -> dict[str, float]:
    """Return the relative error of every parameter's change in so many steps.

    What rounding the parameters takes is no error of the change, and is taken off.
    """
    changes = _paired(before, expected)
    return {
        f"change of {name}": _change_error(changes[name][0], *pair, count)
        for name, pair in _paired(got, expected).items()
    }


def _paired(got: Any, expected: Any) -> dict[str, tuple[Array, Array]]:
    pairs = zip(named_arrays(got, ""), named_arrays(expected, ""), strict=True)
    return {name: (mine, other) for (_, mine), (name, other) in pairs}


def _change_error(before: Array, got: Array, expected: Array, count: int) -> float:
    if got.shape != before.shape:
        return np.inf
    last_digit = np.finfo(before.dtype).eps * np.max(np.abs(before))
    difference = np.max(np.abs(got.astype(np.float64) - expected))
    excess = difference - count * LAST_DIGITS * last_digit
    return _ratio(np.maximum(excess, 0.0), np.max(np.abs(expected - before)))


def relative_error(got: Array, expected: Array, dtype: str) -> float:
    """Return max |got - expected| over the largest entry of expected.

    It is infinite where got is not finite, or is not of this dtype, integers where
    expected are, or of another shape.
    """
    got, expected = np.asarray(got), np.asarray(expected)
    whole = np.issubdtype(expected.dtype, np.integer)
    right = np.issubdtype(got.dtype, np.integer) if whole else got.dtype == dtype
    if not right or got.shape != expected.shape:
        return np.inf
    difference = np.max(np.abs(got.astype(np.float64) - expected))
    return _ratio(difference, np.max(np.abs(expected)))


def _ratio(difference: float, largest: float) -> float:
    """Return the error; that from 0 has no scale, and is taken as it is."""
    error = float(difference / largest) if largest else float(difference)
    return error if np.isfinite(error) else np.inf
