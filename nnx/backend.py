"""The one boundary between the maths and an array library."""

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from nnx.errors import BackendError, InputError, UnknownBackendError
from nnx.maths import dense, distortion, losses, optimizers, steps
from nnx.maths.kernels import Array, Namespace

GROUP = "nnx.backends"
# What "auto" takes, the first that is usable; a GPU is used only when asked for.
AUTOMATIC = "numba", "numpy"


@dataclass(frozen=True)
class Backend:
    """An array library on a device, and what it does better than the plain maths.

    name: what a user calls it
    device: where its arrays are, in words
    xp: its array API namespace
    from_numpy: a NumPy array moved to the device
    to_numpy: an array of the device as a NumPy array
    synchronize: waits until the device has done all it was given
    note: what a user should know before the first run, or ""
    scope: gives a context to compute in: its device is the current one, and what its
        library raises leaves it as an NnxError of one line
    dense_forward … distort: like the functions of `nnx.maths` that they default to
    """

    name: str
    device: str
    xp: Namespace
    from_numpy: Callable[[Array], Array]
    to_numpy: Callable[[Array], Array]
    synchronize: Callable[[], None] = lambda: None
    note: str = ""
    scope: Callable[[], AbstractContextManager[None]] = nullcontext
    dense_forward: Callable[..., Array] = dense.forward
    dense_backward: Callable[..., tuple[Array, Array, Array]] = dense.backward
    cross_entropy: Callable[..., tuple[Array, Array]] = losses.cross_entropy
    update: Callable[..., Array] = optimizers.update
    run_steps: Callable[..., steps.State] = steps.run_steps
    distort: Callable[..., Array] = distortion.distort


def names() -> list[str]:
    """Return the names of all backends that installed packages offer."""
    return sorted(_offered())


def find(name: str, **options: Any) -> Backend:
    """Return the backend of this name, ready for use; "auto" is the fastest CPU's.

    options: handed to the backend's own `load`, such as device
    Refused: UnknownBackendError for a name that no installed package offers;
    InputError for an option that the backend does not take; MissingLibraryError and
    UnusableBackendError as the backend says.
    """
    if name == "auto":
        _check_options(name, _automatic, options)
        return _automatic()
    offered = _offered()
    if name not in offered:
        there = ", ".join(["auto", *sorted(offered)])
        raise UnknownBackendError(f"no backend is called {name!r}; there are {there}")
    load = offered[name].load()
    _check_options(name, load, options)
    loaded = load(**options)
    if not isinstance(loaded, Backend):
        raise BackendError(
            f"backend {name!r}: {offered[name].value} gave no nnx.backend.Backend"
        )
    return loaded


def threaded(backend: Backend, threads: int | None) -> Backend:
    """Return the backend with so many threads, where it has a team of its own."""
    return find("numba", threads=threads) if backend.name == "numba" else backend


def _check_options(
    name: str, load: Callable[..., Any], options: dict[str, Any]
) -> None:
    """Refuse an option that this backend has no use for."""
    for option, value in options.items():
        if option not in inspect.signature(load).parameters:
            raise InputError(
                f"backend {name!r} takes no {option}, and {value!r} was given; "
                "choose a --backend that does"
            )


def _automatic() -> Backend:
    """Return the first usable backend; the last one always is."""
    *preferred, last = AUTOMATIC
    for name in preferred:
        with suppress(BackendError):
            return find(name)
    return find(last)


@cache
def _offered() -> dict[str, EntryPoint]:
    """Return what is installed; looked for once, as that takes a millisecond."""
    return {point.name: point for point in entry_points(group=GROUP)}
