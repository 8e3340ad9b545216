"""A run's log: a row for each epoch, and what follows from the rows."""

import csv
import io
import json
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nnx.data.dataset import Array
from nnx.errors import InputError


class Row(NamedTuple):
    """An epoch's line in the log.

    train_loss, train_accuracy: the mean over the epoch's batches as they came, with
        dropout, smoothed labels and class weights where there are any
    validation_loss, validation_accuracy: of the network at the epoch's end, on the
        validation set; None where there is none
    test_loss, test_accuracy: the same on the test images, which are left alone where
        there is a validation set
    seconds: of training since the run began, without testing and loading
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    test_loss: float | None
    test_accuracy: float | None
    seconds: float

    @property
    def monitored(self) -> tuple[float, float]:
        """Loss and accuracy on the validation set, or else on the test images."""
        if self.validation_loss is not None and self.validation_accuracy is not None:
            return self.validation_loss, self.validation_accuracy
        assert self.test_loss is not None
        assert self.test_accuracy is not None
        return self.test_loss, self.test_accuracy

    @property
    def score(self) -> tuple[float, float]:
        """What is greatest in the best epoch."""
        loss, accuracy = self.monitored
        return accuracy, -loss


def best(log: Sequence[Row]) -> Row:
    """Return the best epoch's row; of equals, the first."""
    return max(log, key=lambda row: row.score)


def ended_early(log: Sequence[Row], patience: int) -> bool:
    """Return whether so many epochs since the best brought nothing better.

    patience: 0 is without end
    """
    return bool(patience and log) and log[-1].epoch - best(log).epoch >= patience


def columns(log: Sequence[Row]) -> dict[str, Array]:
    """Return the log by column.

    returns: (epochs,) each, float64, and int64 the epoch; NaN where nothing was
        measured
    """
    table = np.array(log, np.float64).reshape(len(log), len(Row._fields))
    named = dict(zip(Row._fields, table.T, strict=True))
    return named | {"epoch": named["epoch"].astype(np.int64)}


def as_csv(log: Sequence[Row]) -> bytes:
    """Return the log as a CSV file with a header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Row._fields)
    for row in log:
        writer.writerow([*row[:-1], f"{row.seconds:.3f}"])
    return text.getvalue().encode()


def as_jsonl(log: Sequence[Row]) -> bytes:
    """Return the log as JSON, an object a line; null for what was not measured."""
    rows = [{**row._asdict(), "seconds": round(row.seconds, 3)} for row in log]
    # At once, as a long run writes it after every epoch.
    lines = json.dumps(rows)[1:-1].replace("}, {", "}\n{")
    return (lines + "\n").encode() if rows else b""


def from_csv(content: bytes, source: str) -> tuple[Row, ...]:
    """Return the rows of a log as `as_csv` wrote it.

    Raises:
        InputError: it is no such file
    """
    try:
        lines = list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))
        header = lines.pop(0) if lines else []
        if tuple(header) != Row._fields:
            raise ValueError(f"expected a header of {','.join(Row._fields)}")
        log = tuple(map(_row, lines))
        if [row.epoch for row in log] != list(range(1, len(log) + 1)):
            raise ValueError("expected a line for each epoch from 1 on")
    except (ValueError, csv.Error) as error:
        raise InputError(f"{source}: no log of a run: {error}") from None
    return log


def _row(fields: list[str]) -> Row:
    """Return a line's row; the network was tested on one set and not on the other."""
    values: dict[str, float | None] = {
        name: float(text) if text else None
        for name, text in zip(Row._fields, fields, strict=True)
    }
    line = ",".join(fields)
    given = {name for name, value in values.items() if value is not None}
    tested = [{f"{part}_loss", f"{part}_accuracy"} for part in ("validation", "test")]
    parts = [part for part in tested if part <= given]
    rest = {"epoch", "train_loss", "train_accuracy", "seconds"}
    if not parts or given != rest.union(*parts):
        raise ValueError(f"a value is missing in {line}")
    for name in given:
        value, bound = values[name], 1.0 if name.endswith("accuracy") else math.inf
        if value is None or not 0 <= value <= bound or math.isinf(value):
            raise ValueError(f"{name} cannot be {value} in {line}")
    return Row._make({**values, "epoch": int(fields[0])}.values())
