"""Which implementations and workloads are measured."""

from collections.abc import Callable, Sequence

from nnx.errors import InputError
from nnx_benchmarks import nnx_run, rivals
from nnx_benchmarks.trainer import Implementation
from nnx_benchmarks.workloads import STANDARD, WORKLOADS, Workload


def implementations(
    backend: str,
    rival: Callable[[str], bool] | None,
    note: Callable[[str], None],
    **options: str,
) -> list[Implementation]:
    """Return the backends and the rivals that are wanted, and say who is left out.

    backend: a name, or all
    rival: whether one of this name is wanted; None for no rivals
    options: of the backend, as for `nnx.find`
    """
    found, left_out = nnx_run.implementations(backend, **options)
    if rival is not None:
        others, missing = rivals.implementations()
        found += [other for other in others if rival(other.name)]
        left_out |= {name: why for name, why in missing.items() if rival(name)}
    for name, why in left_out.items():
        note(f"{name} left out: {why}")
    return found


def workloads(keys: Sequence[str]) -> dict[str, Workload]:
    """Return the workloads of these keys; "all" is every one, and no key the five."""
    for key in keys:
        if key not in ("all", *WORKLOADS):
            raise InputError(
                f"no workload is called {key!r}; there are {', '.join(WORKLOADS)}, all"
            )
    if "all" in keys:
        return WORKLOADS
    return {key: WORKLOADS[key] for key in keys} if keys else STANDARD
