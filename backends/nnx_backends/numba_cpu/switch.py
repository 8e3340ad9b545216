"""One compiled function out of many, chosen by a number when it is called."""

from typing import Any

from numba import njit


def switch(first: Any, *others: Any) -> Any:
    """Return a compiled function of (i, *arguments) that calls the i-th function."""
    if not others:
        return njit(nogil=True)(lambda i, *arguments: first(*arguments))
    rest = switch(*others)

    @njit(nogil=True)
    def call(i, *arguments):
        if i == 0:
            first(*arguments)
        else:
            rest(i - 1, *arguments)

    return call
