"""What each training option costs: epochs of the training loop with and without it."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Any, NamedTuple

import numpy as np

import nnx
from nnx.backend import Backend, find
from nnx.data.dataset import Dataset, Split
from nnx.errors import InputError, NnxError
from nnx.network import to_host
from nnx.settings import Training
from nnx.training import loop, setup
from nnx_benchmarks.agreement import BOUNDS, largest_error
from nnx_benchmarks.nnx_run import NOT_FOR_SPEED
from nnx_benchmarks.workloads import Workload

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "momentum": {"momentum": 0.9},
    "nesterov": {"optimizer": "nesterov"},
    "adam": {"optimizer": "adam"},
    "rmsprop": {"optimizer": "rmsprop"},
    "cosine schedule": {"schedule": "cosine"},
    "l1": {"l1": 1e-6},
    "l2": {"l2": 1e-4},
    "weight decay": {"weight_decay": 1e-4},
    "clip norm": {"clip_norm": 1.0},
    "max-norm": {"max_norm": 2.0},
    "dropout": {"input_dropout": 0.2, "dropout": 0.5},
    "batch norm": {"batch_norm": True},
    "label smoothing": {"label_smoothing": 0.1},
    "class weights": {"class_weights": "balanced"},
    "averaging": {"averaging": 0.999},
    "shift and rotation": {"augment": "shift=1,rotation=10,scale=0.1"},
    "elastic distortion": {"augment": "elastic=34,sigma=4"},
    "gelu": {"activation": "gelu"},
}
COLUMNS = ["option", "implementation", "ms/epoch", "range", "× plain", "error"]
LEGEND = (
    "× plain: the median over the rounds of an epoch's time over the plain one's; "
    "error: of the weights after a first step in float64, against NumPy's"
)
FIRST_IMAGES = 1000


class Cost(NamedTuple):
    """One option on one backend.

    error: infinite where the backend could not do it
    seconds: of each epoch after the first; empty where the results do not agree
    plain: of the plain epochs in the same rounds
    """

    option: str
    implementation: str
    error: float
    seconds: tuple[float, ...] = ()
    plain: tuple[float, ...] = ()

    @property
    def ratio(self) -> float:
        """How many times as long as without the option."""
        return median(a / b for a, b in zip(self.seconds, self.plain, strict=True))


def backends(name: str, note: Callable[[str], None], **options: str) -> list[Backend]:
    """Return the backend of this name, or all that are usable, and say who is not.

    Refused: options for all.
    """
    if name != "all":
        return [find(name, **options)]
    if options:
        raise InputError(f"--{' --'.join(options)} goes with one --backend, not all")
    found = []
    for each in sorted(set(nnx.backends()) - NOT_FOR_SPEED):
        try:
            found.append(find(each))
        except NnxError as error:
            note(f"nnx {each} left out: {error}")
    return found


def measure(
    workload: Workload,
    dataset: Dataset,
    chosen: Sequence[Backend],
    rounds: int,
    note: Callable[[str], None],
) -> list[Cost]:
    """Return what each option costs; an epoch with each in turn, round after round."""
    errors = {
        (option, backend.name): first_step_error(workload, dataset, option, backend)
        for option in OPTIONS
        for backend in chosen
    }
    # An option's cost is relative to the plain run's, and no righter than that.
    errors = {key: max(error, errors["plain", key[1]]) for key, error in errors.items()}
    running = {
        (option, backend.name): epochs(workload, dataset, option, backend, rounds + 1)
        for option in OPTIONS
        for backend in chosen
        if errors[option, backend.name] <= BOUNDS["float64"]
    }
    spent: dict[tuple[str, str], list[float]] = defaultdict(list)
    for i in range(rounds + 1):
        note(f"round {i} of {rounds}" if i else "warming up")
        for key, each in running.items():
            spent[key].append(next(each))
    return [
        Cost(
            *key,
            error,
            tuple(spent[key][1:]),
            tuple(spent["plain", key[1]][1:]) if spent[key] else (),
        )
        for key, error in errors.items()
    ]


def epochs(
    workload: Workload, dataset: Dataset, option: str, backend: Backend, count: int
) -> Iterator[float]:
    """Yield the seconds of each epoch of training."""
    with backend.scope():
        run, position = _begun(workload, dataset, option, backend, "float32", count)
    before, progress = 0.0, iter(loop.fit(run, position))
    for _ in range(count):
        with backend.scope():
            reached = next(p.position for p in progress if p.epoch_ended)
        yield reached.seconds - before
        before = reached.seconds


def first_step_error(
    workload: Workload, dataset: Dataset, option: str, backend: Backend
) -> float:
    """Return how far the weights after one step in float64 are from NumPy's.

    No slot is empty: from there, Adam's step goes as far to either side of a gradient
    of 0, and the sign of one that is next to nothing is rounding.
    """
    few = Split(*(part[:FIRST_IMAGES] for part in dataset.train))
    small = dataset._replace(train=few, test=few)
    after = []
    for each in backend, find("numpy"):
        with each.scope():
            run, position = _begun(workload, small, option, each, "float64", 1)
            state = position.state
            ones = [type(la)(*map(each.xp.ones_like, la)) for la in state.layers]
            state = state._replace(slots=tuple(ones for _ in state.slots))
            position = next(loop.fit(run, position._replace(state=state))).position
            after.append(to_host(loop.in_use(position.state, each), each))
    error = largest_error(*after)
    return error if np.isfinite(error) else np.inf


def _begun(
    workload: Workload,
    dataset: Dataset,
    option: str,
    backend: Backend,
    dtype: str,
    epochs: int,
) -> tuple[Any, Any]:
    """Return a run with the option and the position at which it begins."""
    settings = {"learning_rate": 0.01} | OPTIONS[option]
    activation = settings.pop("activation", workload.activation)
    network = nnx.Network(workload.sizes, activation, seed=0, dtype=dtype)
    training = Training(batch_size=workload.batch_size, epochs=epochs, **settings)
    model = setup.fitted(network, dataset, training)
    run = setup.run_of(model, dataset, None, training, backend)
    return run, setup.begun(run, model, training)


def table(costs: Sequence[Cost]) -> list[list[str]]:
    """Return a row for each that agrees, in the order of the options."""
    return [
        [
            cost.option,
            f"nnx {cost.implementation}",
            f"{1e3 * median(cost.seconds):.1f}",
            f"{1e3 * min(cost.seconds):.1f}–{1e3 * max(cost.seconds):.1f}",
            f"{cost.ratio:.2f}",
            f"{cost.error:.1e}",
        ]
        for cost in costs
        if cost.seconds
    ]


def without_speed(costs: Sequence[Cost]) -> list[str]:
    """Return a line for each that disagrees."""
    return [
        f"{cost.option}, nnx {cost.implementation}: no speed, off by {cost.error:.1e}"
        for cost in costs
        if not cost.seconds
    ]


def as_json(costs: Sequence[Cost]) -> list[dict[str, Any]]:
    """Return an object for each; what was not measured is null."""
    return [
        {
            "option": cost.option,
            "settings": OPTIONS[cost.option],
            "implementation": f"nnx {cost.implementation}",
            "ms_per_epoch": 1e3 * median(cost.seconds) if cost.seconds else None,
            "ms_range": [1e3 * f(cost.seconds) for f in (min, max)]
            if cost.seconds
            else None,
            "over_plain": cost.ratio if cost.seconds else None,
            "max_relative_error_float64": cost.error
            if np.isfinite(cost.error)
            else None,
        }
        for cost in costs
    ]
