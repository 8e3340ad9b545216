"""Which backends, rivals and workloads are measured."""

from collections.abc import Sequence

from nnx.backend import Backend, find, names
from nnx.errors import InputError, NnxError
from nnx_benchmarks import nnx_run, rivals
from nnx_benchmarks.measure import Note
from nnx_benchmarks.trainer import Implementation
from nnx_benchmarks.workloads import STANDARD, WORKLOADS, Workload

# Refuses what the standard does not promise; nobody trains with it.
NOT_FOR_SPEED = {"strict"}
RIVALS = tuple(rivals.MODULES)
PYTORCH = ("torch_eager",)


def backends(name: str, note: Note, **options: str) -> list[Backend]:
    """Return the backend of this name, or all that are usable, and say who is not.

    options: of one backend, as for `nnx.find`
    Raises: BackendError for one backend that is not usable; InputError for options
    with all.
    """
    if name != "all":
        return [find(name, **options)]
    if options:
        raise InputError(f"--{' --'.join(options)} goes with one --backend, not all")
    usable = []
    for each in names():
        if each in NOT_FOR_SPEED:
            continue
        try:
            usable.append(find(each))
        except NnxError as error:
            note(f"nnx {each} left out: {error}")
    return usable


def implementations(
    backend: str, modules: Sequence[str], note: Note, **options: str
) -> list[Implementation]:
    """Return the backends, as above, and rivals; says who is left out.

    modules: of the rivals
    """
    ours = map(nnx_run.implementation, backends(backend, note, **options))
    others, left_out = rivals.implementations(modules)
    for name, why in left_out.items():
        note(f"{name} left out: {why}")
    return [*ours, *others]


def workloads(keys: Sequence[str]) -> dict[str, Workload]:
    """Return the workloads of these keys; "all" is every one, and no key the five.

    Raises: InputError for a key that there is not.
    """
    for key in keys:
        if key not in ("all", *WORKLOADS):
            raise InputError(
                f"no workload is called {key!r}; there are {', '.join(WORKLOADS)}, all"
            )
    if "all" in keys:
        return WORKLOADS
    return {key: WORKLOADS[key] for key in keys} if keys else STANDARD
