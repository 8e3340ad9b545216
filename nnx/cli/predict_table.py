"""`nnx predict RUN table.csv`: predictions for a table's rows, block by block."""

import csv
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nnx.cli import show, streams
from nnx.errors import InputError

if TYPE_CHECKING:
    from nnx.backend import Backend
    from nnx.data.unlabelled import Block
    from nnx.network import Network

FORMATS = "csv", "kaggle"


class Form(NamedTuple):
    """How predictions are written.

    id: the column to copy in front of them; "": the rows' numbers, from 1
    format: of `FORMATS`; "kaggle": that of Kaggle's Digit Recognizer
    probabilities: whether to write each class's too
    """

    id: str = ""
    format: str = "csv"
    probabilities: bool = False


def predict(
    model: Path, table: Path, out: Path | None, form: Form, backend: "Backend"
) -> int:
    """Write predictions for a table's rows to a file or stdout; return how many."""
    from nnx.cli.progress import counted
    from nnx.network import Network

    network = Network.load(model)
    target = _target(model)
    _check(network, form, target)
    if out is not None and os.path.realpath(out) == os.path.realpath(table):
        raise InputError(f"{out}: is the table itself; choose another --out")
    header = _header(network, form, target)
    rows = 0
    with _opened(out) as write:
        for block in counted(_blocks(network, table, form.id), _images, "rows"):
            if not rows:
                write([header])
            for note in block.notes:
                show.remark(f"{table}: {note}")
            write(_lines(network, block, rows, form, backend))
            rows += len(block.images)
            if out is None and not streams.has_reader():
                break
    return rows


def _check(network: "Network", form: Form, target: str) -> None:
    """Refuse a form that does not fit the network."""
    if form.format not in FORMATS:
        raise InputError(
            f"--format is one of {', '.join(FORMATS)}, not {form.format!r}"
        )
    if form.probabilities and network.task == "regression":
        raise InputError("--probabilities is for classes; this network predicts values")
    is_label = network.task == "classification" and target.lower() == "label"
    if form.format == "kaggle" and (form.id or form.probabilities or not is_label):
        raise InputError(
            "--format kaggle writes ImageId,Label for one class of many, called label, "
            "and nothing else; without it, --id COLUMN copies a column before the "
            "predictions"
        )


def _blocks(network: "Network", table: Path, copied: str) -> "Iterator[Block]":
    from nnx.data import unlabelled

    if network.columns:
        return unlabelled.of_columns(table, network.columns, copied)
    width, maximum = network.sizes[0], network.frame.maximum
    return unlabelled.of_pixels(table, width, maximum, copied)


def _images(block: "Block") -> int:
    return len(block.images)


def _target(model: Path) -> str:
    """Return the name of the target in training, or "label" if unknown."""
    from nnx.training.folder import settings_of

    names = settings_of(model, needed=False).get("target", ())
    return names[0] if len(names) == 1 else "label"


def _header(network: "Network", form: Form, target: str) -> list[str]:
    if form.format == "kaggle":
        return ["ImageId", "Label"]
    names = [target]
    if network.task == "regression":
        names = [target.name for target in network.targets]
    elif network.task == "multilabel":
        names = list(network.classes)
    if form.probabilities:
        names += [f"probability_{name}" for name in network.classes]
    return [form.id or "row", *names]


def _lines(
    network: "Network", block: "Block", before: int, form: Form, backend: "Backend"
) -> Iterator[list[Any]]:
    """Yield the fields of each row; before: the number of rows in earlier blocks."""
    n = len(block.images)
    ids = block.ids if form.id else range(before + 1, before + n + 1)
    if network.task == "regression":
        values = network.predict(block.images, backend=backend).reshape(n, -1)
        for name, row in zip(ids, values.tolist(), strict=True):
            yield [name, *(f"{value:.10g}" for value in row)]
        return
    chances = network.predict_proba(block.images, backend=backend)
    if network.task == "multilabel":
        said = (chances > 0.5).astype(int).tolist()
    else:
        said = [[network.classes[best]] for best in chances.argmax(axis=1)]
    more: Any = ([] for _ in range(n))
    if form.probabilities:
        more = ([f"{chance:.6g}" for chance in row] for row in chances.tolist())
    for name, own, shares in zip(ids, said, more, strict=True):
        yield [name, *own, *shares]


@contextmanager
def _opened(out: Path | None) -> Iterator[Callable[[Any], None]]:
    """Provide a function that writes lines of CSV; the file is complete or absent."""
    from nnx import files

    if out is None:
        yield csv.writer(sys.stdout, lineterminator="\n").writerows
        return
    with files.replaced(out, "predictions") as file:
        text = io.TextIOWrapper(file, "utf-8", newline="")
        yield csv.writer(text, lineterminator="\n").writerows
        text.flush()
        text.detach()
