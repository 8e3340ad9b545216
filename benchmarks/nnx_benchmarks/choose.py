"""Which backends, rivals and workloads are measured."""

from collections.abc import Sequence
from importlib import import_module

from nnx.backend import Backend, find, usable
from nnx.errors import BackendError, InputError
from nnx_benchmarks import nnx_run, rivals
from nnx_benchmarks.measure import Note
from nnx_benchmarks.trainer import Implementation
from nnx_benchmarks.workloads import (
    DRAWN,
    PLAIN,
    RECIPES,
    STANDARD,
    WORKLOADS,
    Workload,
)

# Refuses what the standard does not promise; nobody trains with it.
NOT_FOR_SPEED = {"strict"}
ROUNDING = {"numba", "cupy"}  # those that can round factors to bfloat16
RIVALS = tuple(rivals.MODULES)
PYTORCH = ("pytorch",)
INSTALL = "pip install 'nnx-mlp[rivals]'"


def backends(name: str, note: Note, **options: str) -> list[Backend]:
    """Return the backend of this name, or all usable ones; note those that are not.

    options: of one backend, as for `nnx.find`

    Raises:
        BackendError: the named backend is not usable
        InputError: options are given for all backends
    """
    if name != "all":
        return [find(name, **options)]
    if options:
        raise InputError(f"--{' --'.join(options)} goes with one --backend, not all")
    working, why = usable()
    for unusable in sorted(set(why) - NOT_FOR_SPEED):
        note(f"nnx {unusable} left out: {why[unusable]}")
    return [backend for backend in working if backend.name not in NOT_FOR_SPEED]


def implementations(
    backend: str,
    modules: Sequence[str],
    note: Note,
    *,
    bf16: bool = False,
    **options: str,
) -> list[Implementation]:
    """Return the backends, as above, and the rivals of these modules.

    bf16: whether to add, with rounding, those that can round factors to bfloat16

    A backend on a card is compared only with implementations that compute there too,
    and CuPy's fused steps also with its plain ones.
    """
    own = backends(backend, note, **options)
    chosen = [nnx_run.implementation(own_backend) for own_backend in own]
    if backend == "cupy":
        plain = nnx_run.implementation(find(backend, fused=False, **options))
        chosen.append(plain._replace(name="nnx cupy, plain steps"))
    card = all(implementation.card for implementation in chosen)
    names = [own_backend.name for own_backend in own]
    for name in [name for name in names if bf16 and name in ROUNDING]:
        try:
            chosen.append(nnx_run.rounded(find(name, precision="bf16", **options)))
        except BackendError as error:
            note(f"nnx {name} bf16 left out: {error}")
    for module in modules:
        name = rivals.MODULES[module]
        try:
            those = import_module(f"{rivals.__name__}.{module}").IMPLEMENTATIONS
            those = [rival for rival in those if bf16 or not rival.bfloat16]
        except ImportError as error:
            note(f"{name} left out: {error}; {INSTALL}")
            continue
        those = [rival for rival in those if rival.card or not card]
        if not those:
            note(f"{name} left out: it does not compute on the card")
        chosen += those
    return chosen


def workloads(
    keys: Sequence[str],
    batch_size: int | None = None,
    default: dict[str, Workload] = STANDARD,
) -> dict[str, Workload]:
    """Return the workloads of these keys, which may also name groups.

    batch_size: replaces their own, and is then part of their keys
    default: the workloads if there are no keys

    Raises:
        InputError: an unknown key
    """
    groups = {"all": PLAIN, "recipes": RECIPES, "drawn": DRAWN}
    chosen: dict[str, Workload] = {}
    for key in keys:
        if key not in WORKLOADS | groups:
            known = ", ".join([*WORKLOADS, *groups])
            raise InputError(f"no workload is called {key!r}; there are {known}")
        chosen |= groups.get(key) or {key: WORKLOADS[key]}
    chosen = chosen or default
    if batch_size is None:
        return chosen
    return {
        f"{key}-{batch_size}": workload._replace(batch_size=batch_size)
        for key, workload in chosen.items()
    }
