"""How long estimators take to fit: scikit-learn's own, and those of this package."""

import time
import warnings
from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any, NamedTuple

import numpy as np

import nnx.sklearn
from nnx.backend import find
from nnx.data.dataset import Array, Dataset
from nnx.errors import MissingLibraryError
from nnx_benchmarks.measure import REST, Note, about, in_turn
from nnx_benchmarks.report import Report, Table, times

try:
    from sklearn import datasets, neural_network
    from sklearn.exceptions import ConvergenceWarning
except ImportError:
    raise MissingLibraryError(
        "bench estimators needs scikit-learn: pip install 'nnx-mlp[sklearn]'"
    ) from None

MODULES = {"scikit-learn": neural_network, "nnx": nnx.sklearn}
TABLES = {
    "wine": "MLPClassifier",
    "breast_cancer": "MLPClassifier",
    "digits": "MLPClassifier",
    "diabetes": "MLPRegressor",
}
AUTO = find("auto").name
EPOCHS = 10  # on MNIST's images; on a table, as many as the defaults say
# Losses of equal trainings differ by less; float32 sums are added in other orders.
NEAR = {"float64": 1e-4, "float32": 1e-2}
COLUMNS = [
    ("estimator", "implementation", "{}"),
    ("s", "seconds", "{:.3f}"),
    ("range", "seconds_range", "{0[0]:.3f}–{0[1]:.3f}"),
    ("× nnx", "over_nnx", "{:.2f}"),
    ("epochs", "epochs", "{:.0f}"),
    ("loss", "loss", "{:.6f}"),
    ("score", "score", "{:.4f}"),
]
LEGEND = (
    "s: of fit, from the same random_state with the same parameters; × nnx: the median "
    "over the rounds of a fit's time over this package's, whose kernels were compiled "
    "before; score: accuracy, or R², on what was fitted"
)


class Task(NamedTuple):
    """Data, the class of the estimators that are fitted to it, and their options."""

    kind: str
    x: Array
    y: Array
    options: Mapping[str, Any] = {}

    def fitted(self, name: str, **more: Any) -> Any:
        """Return an implementation's estimator, fitted."""
        options = {"random_state": 0, **self.options, **more}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            made = getattr(MODULES[name], self.kind)(**options)
            return made.fit(self.x, self.y)


def measure(images: Dataset, rounds: int, note: Note) -> Iterator[Report]:
    """Yield a report of how long each takes on scikit-learn's tables, and on images."""
    tasks = dict[str, Task]()
    for name, kind in TABLES.items():
        x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
        x = (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-9)
        y = (y - y.mean()) / y.std() if kind == "MLPRegressor" else y
        tasks[f"{name}, {len(y)} rows"] = Task(kind, x, y)
    pixels = images.train.images.reshape(len(images.train.labels), -1)
    few = {"max_iter": EPOCHS}
    for dtype in "float32", "float64":
        x = (pixels / images.frame.maximum).astype(dtype)
        title = f"{images.name}, {len(x)} images, {dtype}, {EPOCHS} epochs"
        tasks[title] = Task("MLPClassifier", x, images.train.labels, few)
    tables = [
        Table(title, COLUMNS, _rows(title, task, rounds, about(title, note)))
        for title, task in tasks.items()
    ]
    yield Report(tables, {}, LEGEND)


def _rows(title: str, task: Task, rounds: int, note: Note) -> list[dict[str, Any]]:
    """Return a row for each implementation; those whose loss differs have no speed."""
    fitted: dict[str, Any] = {}

    def job(name: str) -> Iterator[float]:
        if name == "nnx":  # compile the backend that "auto" may take then
            task.fitted(name, max_iter=1, backend=AUTO)
        while True:
            time.sleep(REST)
            began = time.perf_counter()
            fitted[name] = task.fitted(name)
            yield time.perf_counter() - began

    spent = in_turn({name: job(name) for name in MODULES}, rounds, note)
    rows = []
    for name, seconds in spent.items():
        model, reference = fitted[name], fitted["scikit-learn"]
        off = abs(model.loss_ - reference.loss_) / reference.loss_
        agrees = off <= NEAR[str(task.x.dtype)] and model.n_iter_ == reference.n_iter_
        ratios = [a / b for a, b in zip(seconds, spent["nnx"], strict=True)]
        row = {
            "data": title,
            "implementation": name,
            **times(seconds if agrees else [], "seconds", "seconds_range"),
            "over_nnx": median(ratios) if agrees else None,
            "epochs": model.n_iter_,
            "loss": model.loss_,
            "score": model.score(task.x, task.y),
            "no_speed_because": None if agrees else f"its loss is off by {off:.1e}",
        }
        rows.append(row)
    return rows
