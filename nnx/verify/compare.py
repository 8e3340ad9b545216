"""Errors of arrays, and trees of them, against the plain maths in float64."""

from typing import Any, NamedTuple

import numpy as np

from nnx.maths.arrays import Array, named_arrays
from nnx.maths.ops import Ops
from nnx.maths.state import Parameters

PLAIN = Ops(np)
# Bounds on relative errors, by the dtype of the computation.
BOUNDS = {"float64": 1e-12, "float32": 1e-5}
# Rounding allowed per step, in last digits of the largest parameter: a backend may
# subtract a gradient in several parts, and round after each.
LAST_DIGITS = 4


class Agreement(NamedTuple):
    """The error of a backend's results in one case.

    network: the case, such as 784-128-10 tanh l2
    max_relative_error: over all arrays, each relative to its largest entry; infinite if
        a dtype or a shape is wrong, or a number is not finite
    bound: the largest error allowed
    """

    backend: str
    dtype: str
    network: str
    max_relative_error: float
    bound: float

    @property
    def within_bound(self) -> bool:
        """Whether the error is within the bound."""
        return self.max_relative_error <= self.bound


def errors(got: Any, expected: Any, dtype: str, start: Any = None) -> dict[str, float]:
    """Return the relative error of every array of a tree, by its path.

    got: must have this dtype, or integers where the expected arrays do
    start: the tree before the steps, whose numbers are terms of the new ones. Terms may
        nearly cancel, and their sum is as exact as they are: with start, an error is
        relative to the largest entry before or after
    """
    pairs = _paired(got, expected)
    terms = {} if start is None else dict(named_arrays(start, ""))
    return {
        name: relative_error(*pair, dtype, np.max(np.abs(terms.get(name, 0.0))))
        for name, pair in pairs.items()
    }


def change_errors(
    before: Parameters, got: Parameters, expected: Parameters, count: int
) -> dict[str, float]:
    """Return the relative error of every parameter's change in `count` steps.

    The rounding of the parameters themselves is not an error of the change, and is
    subtracted.
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


def relative_error(got: Array, expected: Array, dtype: str, term: float = 0.0) -> float:
    """Return max |got - expected| divided by the largest entry of expected, or by term.

    It is infinite if got is not finite, has another shape, or does not have this dtype,
    or integers where expected does.

    term: the size of the terms that expected is a sum of, if that is larger
    """
    got, expected = np.asarray(got), np.asarray(expected)
    whole = np.issubdtype(expected.dtype, np.integer)
    right = np.issubdtype(got.dtype, np.integer) if whole else got.dtype == dtype
    if not right or got.shape != expected.shape:
        return np.inf
    difference = np.max(np.abs(got.astype(np.float64) - expected))
    return _ratio(difference, max(np.max(np.abs(expected)), term))


def _ratio(difference: float, largest: float) -> float:
    """Return the relative error, or the absolute one if all expected entries are 0."""
    error = float(difference / largest) if largest else float(difference)
    return error if np.isfinite(error) else np.inf
