"""What each training option costs: epochs of the training loop with and without it."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from statistics import median
from typing import Any, TypeAlias

import numpy as np

import nnx
from nnx.backend import Backend, find
from nnx.data.dataset import Dataset, Split
from nnx.maths.arrays import map_arrays
from nnx.maths.network import inference_layers
from nnx.settings import complete
from nnx.training.run import Run
from nnx.verify.compare import BOUNDS
from nnx_benchmarks.agreement import largest_error
from nnx_benchmarks.measure import Note, about, in_turn
from nnx_benchmarks.report import Report, Table, times
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
    "input noise": {"input_noise": 0.1},
    "batch norm": {"batch_norm": True},
    "label smoothing": {"label_smoothing": 0.1},
    "class weights": {"class_weights": "balanced"},
    "moving average": {"ema_decay": 0.999},
    "shift and rotation": {"augment": "shift=1,rotation=10,scale=0.1"},
    "elastic distortion": {"augment": "elastic=34,sigma=4"},
    "gelu": {"activation": "gelu"},
    "silu": {"activation": "silu"},
}
COLUMNS = [
    ("option", "option", "{}"),
    ("implementation", "implementation", "{}"),
    ("ms/epoch", "ms_per_epoch", "{:.1f}"),
    ("range", "ms_range", "{0[0]:.1f}–{0[1]:.1f}"),
    ("× plain", "over_plain", "{:.2f}"),
    ("error", "max_relative_error_float64", "{:.1e}"),
]
LEGEND = (
    "× plain: the median over the rounds of an epoch's time over the plain one's; "
    "error: of the weights after a first step in float64, against NumPy's"
)
FIRST_IMAGES = 1000
Key: TypeAlias = tuple[str, str]  # an option and a backend


def measure(
    workloads: Mapping[str, Workload],
    backends: Sequence[Backend],
    images: Dataset,
    rounds: int,
    note: Note,
) -> Iterator[Report]:
    """Yield a report of what each option costs on these workloads, by key."""
    tables = []
    for key, workload in workloads.items():
        spent, errors = _spent(workload, backends, images, rounds, about(key, note))
        rows = []
        for (option, name), error in errors.items():
            seconds, plain = (spent.get((o, name), []) for o in (option, "plain"))
            ratios = [a / b for a, b in zip(seconds, plain, strict=False)]
            rows.append(
                {
                    "workload": key,
                    "option": option,
                    "settings": OPTIONS[option],
                    "implementation": f"nnx {name}",
                    **times(seconds, "ms_per_epoch", "ms_range", 1e3),
                    "over_plain": median(ratios) if seconds else None,
                    "max_relative_error_float64": error,
                    "no_speed_because": None if seconds else f"off by {error:.1e}",
                }
            )
        tables.append(Table(f"{key}: {workload}", COLUMNS, rows))
    yield Report(tables, {}, LEGEND)


def _spent(
    workload: Workload,
    backends: Sequence[Backend],
    images: Dataset,
    rounds: int,
    note: Note,
) -> tuple[dict[Key, list[float]], dict[Key, float]]:
    """Return the seconds of each option on each backend that agrees, and all errors."""
    errors: dict[Key, float] = {}
    jobs = {}
    for option, backend in product(OPTIONS, backends):
        key = option, backend.name
        error = first_step_error(workload, images, option, backend)
        # An option's cost is relative to the plain run's, which must be right too.
        errors[key] = max(error, errors.get(("plain", backend.name), 0.0))
        if errors[key] <= BOUNDS["float64"]:
            jobs[key] = epochs(workload, images, option, backend, rounds + 1)
    return in_turn(jobs, rounds, note), errors


def epochs(
    workload: Workload, images: Dataset, option: str, backend: Backend, count: int
) -> Iterator[float]:
    """Yield the seconds of each epoch of training."""
    run = begin(workload, images, option, backend, epochs=count)
    before, progress = 0.0, iter(run)
    for _ in range(count):
        with run.scope():
            reached = next(p.position for p in progress if p.epoch_ended)
        yield reached.seconds - before
        before = reached.seconds


def first_step_error(
    workload: Workload, images: Dataset, option: str, backend: Backend
) -> float:
    """Return how far the weights after one step in float64 are from NumPy's.

    The optimizer's arrays are ones, not zeros. From zeros, Adam's step would be as long
    for a tiny gradient as for any other, and the sign of a tiny gradient is rounding.
    """
    few = Split(*(part[:FIRST_IMAGES] for part in images.train))
    small = images._replace(train=few, test=few)
    after = []
    for tested in backend, find("numpy"):
        run = begin(workload, small, option, tested, dtype="float64")
        with run.scope():
            state = run.position.state
            ones = map_arrays(tested.xp.ones_like, state.optimizer_state)
            state = state._replace(optimizer_state=ones)
            run.position = run.position._replace(state=state)
            state = next(iter(run)).position.state
            layers = inference_layers(state, xp=tested.xp)
            after.append(map_arrays(tested.to_numpy, layers))
    error = largest_error(*after)
    return error if np.isfinite(error) else np.inf


def begin(
    workload: Workload,
    images: Dataset,
    option: str,
    backend: Backend,
    *,
    epochs: int = 1,
    dtype: str = "float32",
) -> Run:
    """Return a run with the option, at its beginning."""
    settings = {"learning_rate": 0.01} | OPTIONS[option]
    activation = settings.pop("activation", workload.activation)
    network = nnx.Network(workload.sizes, activation, seed=0, dtype=dtype)
    settings |= {"batch_size": workload.batch_size, "epochs": epochs}
    return Run(network, images, complete(settings), backend=backend)
