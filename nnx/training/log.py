"""A run's log: a row for each epoch, the best of them, and files of the rows."""

import csv
import io
import json
import sys
from collections.abc import Sequence
from itertools import starmap
from typing import Any, NamedTuple

import numpy as np

from nnx.data.dataset import Array
from nnx.errors import InputError

# Scores, of which higher is better: accuracy, or for a regression the coefficient of
# determination, 1 - Σ(value - prediction)² / Σ(value - mean)², averaged over targets.
METRICS = "accuracy", "r2"
METRIC_NAMES = {"accuracy": "accuracy", "r2": "R²"}
MAX_FLOAT = sys.float_info.max
# Other numbers are at least 0.
RANGES = {"accuracy": (0.0, 1.0), "r2": (-MAX_FLOAT, 1.0)}
# The fields of a row that may be empty, together.
_EMPTY: tuple[list[str], ...] = (
    [], ["validation_loss", "validation_score"], ["test_loss", "test_score"],
)  # fmt: skip
MAX_BYTES = 1 << 27  # of the file: about a million epochs


class Row(NamedTuple):
    """An epoch's line in the log.

    train_loss, train_score: means over the epoch's batches as they were trained on,
        with any dropout, label smoothing and class weights
    validation_loss, validation_score: of the network at the end of the epoch, on the
        validation set; None without one
    test_loss, test_score: the same on the test images; None with a validation set
    seconds: of training since the start of the run, without testing and loading
    metric: of the scores, one of `METRICS`; its name replaces "score" in files
    """

    epoch: int
    train_loss: float
    train_score: float
    validation_loss: float | None
    validation_score: float | None
    test_loss: float | None
    test_score: float | None
    seconds: float
    metric: str = "accuracy"

    @property
    def monitored(self) -> tuple[float, float]:
        """Loss and score on the validation set, or without one on the test images."""
        if self.validation_loss is not None and self.validation_score is not None:
            return self.validation_loss, self.validation_score
        assert self.test_loss is not None
        assert self.test_score is not None
        return self.test_loss, self.test_score

    @property
    def named(self) -> dict[str, Any]:
        """The numbers by their names in files."""
        return dict(zip(names(self.metric), self, strict=False))


def names(metric: str) -> list[str]:
    """Return the names of a row's numbers in files."""
    *fields, _ = Row._fields
    return [field.replace("score", metric) for field in fields]


def merit(row: Row) -> tuple[float, float]:
    """Return a key that is greatest for the best epoch: the score, then minus loss."""
    loss, score = row.monitored
    return score, -loss


def best(log: Sequence[Row]) -> Row:
    """Return the row of the best epoch, the first one if several are equal."""
    return max(log, key=merit)


def ended_early(log: Sequence[Row], patience: int) -> bool:
    """Return whether the best epoch is `patience` or more epochs ago.

    patience: 0: never end early
    """
    return bool(patience and log) and log[-1].epoch - best(log).epoch >= patience


def columns(log: Sequence[Row]) -> dict[str, Array]:
    """Return the log by column.

    returns: arrays (epochs,), float64 but int64 for the epoch; NaN where nothing was
        measured
    """
    metric = log[0].metric if log else METRICS[0]
    table = np.array([row[:-1] for row in log], np.float64)
    table = table.reshape(len(log), len(names(metric)))
    named = dict(zip(names(metric), table.T, strict=True))
    return named | {"epoch": named["epoch"].astype(np.int64)}


def as_csv(log: Sequence[Row]) -> bytes:
    """Return the log as a CSV file with a header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names(log[0].metric if log else METRICS[0]))
    for row in log:
        writer.writerow({**row.named, "seconds": f"{row.seconds:.3f}"}.values())
    return text.getvalue().encode()


def as_jsonl(log: Sequence[Row]) -> bytes:
    """Return the log as JSON, one object per line; null where nothing was measured."""
    rows = [{**row.named, "seconds": round(row.seconds, 3)} for row in log]
    # One call for all rows is fast: a run writes the whole log after every epoch.
    lines = json.dumps(rows)[1:-1].replace("}, {", "}\n{")
    return (lines + "\n").encode() if rows else b""


def from_csv(content: bytes, source: str) -> tuple[Row, ...]:
    """Return the rows of a log that `as_csv` wrote.

    Raises:
        InputError: the content is not such a log
    """
    try:
        lines = list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))
        header = lines.pop(0) if lines else []
        fitting = [metric for metric in METRICS if header == names(metric)]
        if not fitting:
            raise ValueError(f"expected a header of {','.join(names(METRICS[0]))}")
        rows = [
            [int(epoch), *(float(text) if text else None for text in texts), *fitting]
            for epoch, *texts in lines
        ]
        return restored(rows, *fitting)
    except InputError:
        raise
    except (TypeError, ValueError, csv.Error) as error:
        raise InputError(f"{source}: no log of a run: {error}") from None


def restored(rows: list[Any], metric: str) -> tuple[Row, ...]:
    """Return the rows of a log from the lists in a file.

    Raises:
        ArithmeticError, TypeError, ValueError: they are not the rows of a run's log
    """
    log = tuple(Row(*row) for row in rows)
    for epoch, row in enumerate(log, 1):
        empty = [name for name, value in row._asdict().items() if value is None]
        if (
            (row.epoch, row.metric) != (epoch, metric)
            or empty not in _EMPTY
            or not all(starmap(_is_in_range, row.named.items()))
        ):
            raise ValueError(f"epoch {epoch} of the log is {[*row]}")
    return log


def _is_in_range(name: str, value: Any) -> bool:
    """Return whether a number of a row, by its name in files, may be this one."""
    low, high = RANGES.get(name.rpartition("_")[2], (0.0, MAX_FLOAT))
    # Times 1.0 refuses texts and lists.
    return value is None or low <= float(value * 1.0) <= high
