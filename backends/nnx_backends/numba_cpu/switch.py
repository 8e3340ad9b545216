"""One compiled function out of many, chosen by a number when it is called."""

from typing import Any

from numba import njit


def switch(*functions: Any) -> Any:
    """Return a compiled function of (i, *arguments) that calls the i-th function.

    It halves them, and does not try one after another: each function on the way to
    another has the compiler optimize that one again.
    """
    if len(functions) == 1:
        (only,) = functions
        return njit(nogil=True)(lambda i, *arguments: only(*arguments))
    half = len(functions) // 2
    lower, upper = switch(*functions[:half]), switch(*functions[half:])

    @njit(nogil=True)
    def call(i, *arguments):
        if i < half:
            lower(i, *arguments)
        else:
            upper(i - half, *arguments)

    return call
