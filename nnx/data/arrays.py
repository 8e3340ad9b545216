"""Arrays from Python code: of any library, and converted only if nothing is lost."""

from typing import Any, TypeAlias

import numpy as np

from nnx.data.dataset import Dataset, Split
from nnx.data.rows import Rows
from nnx.errors import InputError, first_line

Array: TypeAlias = Any


def as_array(given: Any, what: str = "images") -> Array:
    """Return the argument as an array; raise InputError if that is impossible.

    Tensors of PyTorch are detached from their gradients. Masked values are refused.
    """
    if isinstance(given, Rows):
        return given
    try:
        if hasattr(given, "resolve_neg"):  # a tensor of PyTorch
            given = given.detach().resolve_neg()
        if isinstance(given, Dataset | Split):
            raise InputError(f"{what}: a data set, give an array, as data.test.images")
        refuse_masked(given, what)
        if callable(getattr(given, "toarray", None)):  # of SciPy; NumPy would nest it
            raise InputError(f"{what}: a sparse matrix, give what toarray() returns")
        array = np.asarray(given)
    except InputError:
        raise
    except (TypeError, ValueError, RuntimeError) as error:
        reason = first_line(error)
        raise InputError(f"{what} cannot be converted to an array: {reason}") from None
    if array.dtype == object and not array.ndim:  # a generator, a dict or a set
        kind = type(given).__name__
        raise InputError(f"{what}: a {kind} is no array: give an array or a list")
    return array


def refuse_masked(array: Array, what: str) -> None:
    """Refuse an array of NumPy that has masked values, which NumPy would unmask."""
    if np.ma.is_masked(array):
        first = list(map(int, np.argwhere(np.ma.getmaskarray(array))[0]))
        raise InputError(
            f"masked values in {what}, the first at {first}: fill them in, as with "
            "filled(0), or leave these rows out"
        )


def near_one(values: Array) -> tuple[Array, Array]:
    """Return values times a power of two that makes the largest about 1, and its log.

    No bit is lost, and squares of the result do not underflow. Each column has its own
    power.

    values: (n,) or (n, columns)
    returns: values / 2**power, and power
    """
    _, power = np.frexp(np.abs(values).max(axis=0))
    return np.ldexp(values, -power), power
