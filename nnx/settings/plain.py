"""Converting numbers and arrays of NumPy and other libraries to Python's own."""

from collections.abc import Mapping
from typing import Any


def plain(value: Any) -> Any:
    """Return numbers and arrays of array libraries as Python's own, within lists too.

    A series of pandas becomes a dictionary by its index, or a list if that counts from
    0. Named tuples stay unchanged.
    """
    if hasattr(value, "to_dict") and hasattr(value, "tolist"):
        by_index = value.to_dict()
        if list(by_index) != list(range(len(by_index))):
            return plain(by_index)
    if hasattr(value, "tolist") and not isinstance(value, type):
        value = value.tolist()
    if type(value) in (list, tuple):
        return type(value)(map(plain, value))
    if isinstance(value, Mapping):
        return {plain(key): plain(each) for key, each in value.items()}
    return value
