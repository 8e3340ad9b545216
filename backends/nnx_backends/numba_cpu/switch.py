"""One compiled function out of many, chosen by a number when it is called."""

from typing import Any

from numba import njit


def switch(*functions: Any) -> Any:
    """Return a compiled function of (i, *arguments) that calls functions[i].

    Its text is made here: functions that call one another in turn, which closures could
    be, would have the compiler optimize the last of them again in each.
    """
    scope = {"__name__": __name__} | {f"f{i}": f for i, f in enumerate(functions)}
    cases = (f"    if i == {i}:\n        f{i}(*a)\n" for i in range(len(functions)))
    exec("def call(i, *a):\n" + "".join(cases), scope)
    return njit(nogil=True)(scope["call"])
