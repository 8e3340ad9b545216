"""Values as they come in: NumPy's numbers as Python's, and any of them in few words."""

from collections.abc import Mapping
from typing import Any

LONGEST = 120


def plain(value: Any) -> Any:
    """Return numbers and arrays of array libraries as Python's own, within lists too.

    Records, which are tuples of a kind of their own, are left as they are.
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    if type(value) in (list, tuple):
        return type(value)(map(plain, value))
    if isinstance(value, Mapping):
        return {plain(key): plain(each) for key, each in value.items()}
    return value


def in_few_words(value: Any) -> str:
    """Return a value for an error's line, cut short where it is long."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # an integer of more digits than Python writes
        return f"one {type(value).__name__} of too many digits"
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
