"""The boundary between the maths and an array library."""

import inspect
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.metadata import EntryPoint, entry_points
from math import inf
from typing import Any, NamedTuple

from nnx.automatic import AUTOMATIC, DEFAULT, GPU, SHARE, WORTH_LOADING
from nnx.errors import (
    BackendError,
    InputError,
    NnxError,
    UnknownBackendError,
    UnusableBackendError,
    first_line,
    in_few_words,
)
from nnx.maths import steps
from nnx.maths.arrays import Array, Namespace, moved
from nnx.maths.ops import Ops
from nnx.maths.shards import Communicator
from nnx.maths.state import State

GROUP = "nnx.backends"
_seconds_passed_up = 0.0


class FirstRun(NamedTuple):
    """What happens before a backend's first step.

    note: a remark for the user, or ""
    seconds: rough time for compiling in the next run; 0 if it is done already
    compile: called like `run_steps` without order and count; compiles what steps need
        and yields the share done before each part. Steps compile what is missing
    steps: called with a run's state, hyperparameters and communicator; describes how
        steps are taken if there are several ways, otherwise returns ""
    """

    note: str = ""
    seconds: float = 0.0
    compile: Callable[..., Iterable[float]] = lambda state, images, hyper: ()
    steps: Callable[..., str] = lambda state, hyper, communicator: ""


NOTHING_FIRST = FirstRun()


@dataclass(frozen=True)
class Backend:
    """An array library on a device, with faster versions of parts of the maths.

    name: the name that users choose it by
    device: description of the device
    ops: its namespace and functions, for the maths
    from_numpy: moves a NumPy array to the device
    to_numpy: copies an array of the device to a NumPy array
    synchronize: waits until the device has finished all its work
    first_run: what happens before the first step: compiling, and a remark for the user
    scope: returns a context to compute in, in which the device is the current one;
        the library's exceptions leave it as an NnxError with a one-line message
    own_steps: takes many steps at once, called like `run_steps`; None: one by one. If
        it has a parameter `communicator`, it also takes batches in shards
    memory: returns the free bytes of the device; inf if unknown or on the host
    """

    name: str
    device: str
    ops: Ops
    from_numpy: Callable[[Array], Array]
    to_numpy: Callable[[Array], Array]
    synchronize: Callable[[], None] = lambda: None
    first_run: FirstRun = NOTHING_FIRST
    scope: Callable[[], AbstractContextManager[Any]] = nullcontext
    own_steps: Callable[..., State] | None = None
    memory: Callable[[], float] = lambda: inf

    def __repr__(self) -> str:
        """Return the name and the device, without the functions."""
        return f"Backend({self.name!r}, device={self.device!r})"

    @property
    def xp(self) -> Namespace:
        """The array API namespace."""
        return self.ops.xp

    @property
    def run_steps(self) -> Callable[..., State]:
        """`nnx.maths.steps.run_steps`, or `own_steps`; called without ops."""
        return self.own_steps or partial(steps.run_steps, ops=self.ops)

    def in_shards(self, communicator: Communicator) -> "Backend":
        """Return the backend with batches in shards, which processes share.

        communicator: for arrays on the host
        """

        def of_device(parts: Sequence[Any]) -> Any:
            return moved(of_host(moved(list(parts), self.to_numpy)), self.from_numpy)

        of_host, own = communicator.total, self.own_steps
        if communicator.size > 1:
            communicator = communicator._replace(total=of_device)
        # The same blocks for any number of processes, so that sums have the same order.
        ops = self.ops._replace(communicator=communicator, logits=None)
        if own is None or "communicator" not in inspect.signature(own).parameters:
            said = "steps are taken one by one, as batches have shards" if own else ""
            first = FirstRun(self.first_run.note, steps=lambda *run: said)
            return replace(self, own_steps=None, ops=ops, first_run=first)
        return replace(self, own_steps=partial(own, communicator=communicator), ops=ops)


def names() -> list[str]:
    """Return the names of all backends that installed packages provide."""
    return sorted(_offered())


def find(name: str, **options: Any) -> Backend:
    """Return the backend of this name, ready for use.

    "auto" is the fastest one on the CPU, and "gpu" the one for a GPU.

    options: such as device, passed to the backend's `load`

    Raises:
        UnknownBackendError: no installed package provides a backend of this name
        InputError: an option that the backend does not take
        MissingLibraryError: raised by the backend
        UnusableBackendError: likewise, or its library cannot be imported
        BackendError: the package returns no `Backend`
    """
    offered = _offered()
    if isinstance(name, str) and name == "gpu":
        name = GPU
    if not isinstance(name, str) or name not in ("auto", *offered):
        known = ", ".join(sorted(["auto", "gpu", *offered]))
        raise UnknownBackendError(
            f"no backend is called {in_few_words(name)}; there are {known}"
        )
    load = _automatic if name == "auto" else function_of(offered[name])
    for option, value in options.items():
        if option not in inspect.signature(load).parameters:
            raise InputError(
                f"backend {name!r} takes no {option}, and {in_few_words(value)} was "
                "given; choose a --backend that does"
            )
    try:
        loaded = load(**options)
    except NnxError:
        raise
    except Exception as error:  # whatever a broken library raises while it is imported
        raise UnusableBackendError(
            f"backend {name!r} cannot be loaded ({type(error).__name__}: "
            f"{first_line(error)}): check its library and its environment variables, "
            "or choose another --backend"
        ) from error
    if not isinstance(loaded, Backend):
        raise BackendError(
            f"backend {name!r}: {offered[name].value} returned no nnx.backend.Backend"
        )
    return loaded


def choose(
    name: str | Backend,
    *,
    threads: int | None = None,
    place: int | None = None,
    seconds: float = inf,
    **options: Any,
) -> Backend:
    """Return a backend for a piece of work; errors as for `find`.

    If no GPU can be used, "gpu" without options is the same as "auto", and the note of
    the backend's `first_run` gives the reason.

    threads: for backends with their own threads, how many
    place: number of this process among those of the run on this machine, by which a
        backend may choose a device
    seconds: rough time of the work with the default backend; "auto" decides by it and
        by what this process has done before
    """
    if isinstance(name, Backend):
        return name
    if not isinstance(name, str):
        return find(name)  # which refuses it
    if name == "gpu" and not options:
        return _gpu_or_else(threads, seconds)
    if name == "auto" and not options:
        if seconds < WORTH_LOADING:
            return find(DEFAULT)
        fastest = _automatic()
        if _passed_up(seconds * (1.0 - SHARE), fastest.first_run.seconds):
            note = f"--backend {fastest.name} is faster, once its kernels are compiled"
            return replace(find(DEFAULT), first_run=FirstRun(note))
        name = fastest.name
    point, own = _offered().get(name), {"threads": threads, "place": place}
    own = {option: given for option, given in own.items() if given is not None}
    if own and point is not None:
        taken = inspect.signature(function_of(point)).parameters
        options |= {option: own[option] for option in own if option in taken}
    return find(name, **options)


def function_of(point: EntryPoint) -> Callable[..., Any]:
    """Return the function that an installed package provides at an entry point.

    Raises:
        UnusableBackendError: there is no function, or the package cannot be imported
    """
    try:
        function: Callable[..., Any] = point.load()
        why = "" if callable(function) else f"{type(function).__name__} is no function"
    except NnxError:
        raise
    except Exception as error:  # whatever a package raises while it is imported
        why = f"{type(error).__name__}: {error}"
    if why:
        raise UnusableBackendError(
            f"{point.name!r}: {point.value} cannot be loaded ({why}): reinstall its "
            "package, or remove it"
        )
    return function


def usable() -> tuple[list[Backend], dict[str, str]]:
    """Return every backend that works here, and for each of the others the reason."""
    working, why = list[Backend](), dict[str, str]()
    for name in names():
        try:
            working.append(find(name))
        except NnxError as error:
            why[name] = str(error)
    return working, why


def _gpu_or_else(threads: int | None, seconds: float) -> Backend:
    """Return the GPU's backend, or another one whose note says why not."""
    try:
        return find("gpu")
    except BackendError as error:
        other = choose("auto", threads=threads, seconds=seconds)
        first, why = other.first_run, f"no GPU can be used: {error}"
    note = f"{why}; {first.note}" if first.note else why
    return replace(other, first_run=first._replace(note=note))


def _passed_up(saving: float, compiling: float) -> bool:
    """Return whether to forgo compiling, because it would save too few seconds.

    Half of the time for compiling is left to later processes, which need not compile.
    Savings forgone before are added, as many short pieces of work together may be
    worth compiling for. No more is lost in this way than compiling takes (ski rental;
    Karlin et al., "Competitive randomized algorithms for nonuniform problems", 1994).
    """
    global _seconds_passed_up
    if _seconds_passed_up + saving >= compiling / 2:
        return False
    _seconds_passed_up += saving
    return True


def _automatic() -> Backend:
    """Return the first usable backend of `AUTOMATIC`; the last one is always usable."""
    *preferred, last = AUTOMATIC
    for name in preferred:
        try:
            return find(name)
        except BackendError:
            continue
    return find(last)


@cache
def _offered() -> dict[str, EntryPoint]:
    """Return the installed entry points; cached, as the search takes a millisecond."""
    return {point.name: point for point in entry_points(group=GROUP)}
