"""The targets of a table: one class of several, labels, or numbers."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nnx.data.columns import (
    first_text,
    mean_and_scale,
    not_number,
    numbers,
    refuse_written_otherwise,
)
from nnx.data.dataset import Array, Target, units
from nnx.data.labels import MAX_CLASSES
from nnx.data.tabular import (
    Table,
    Text,
    Values,
    are_empty,
    as_text,
    index_by_name,
    listed,
    number,
)
from nnx.errors import InputError

# Whole numbers are classes if there are at most two different ones; or at most
# MOST_CLASSES, with ROWS_A_CLASS rows for each on average.
MOST_CLASSES, ROWS_A_CLASS = 20, 5


class Aim(NamedTuple):
    """The target columns of a table, and how they are interpreted.

    names: of the columns
    task: one of `TASKS`
    classes, targets: as in a `Dataset`
    """

    names: tuple[str, ...]
    task: str
    classes: tuple[str, ...] = ()
    targets: tuple[Target, ...] = ()


def decide(table: Table, names: Sequence[str], task: str) -> tuple[str, str]:
    """Return the task of these columns, and a note.

    task: one of `TASKS`, or "auto": text, and whole numbers with few different values,
        are classes; several columns of 0 and 1 are labels; anything else is numbers

    Raises:
        InputError: a column is missing, a field is empty, a few texts are among
            numbers, or several columns are to be classes
    """
    for name in names:
        _refuse_empty(table, table.column(name))
    decided, why = _decided(table, names) if task == "auto" else (task, "")
    said = ", ".join(map(repr, names[:3])) + (", …" if len(names) > 3 else "")
    if decided == "classification" and len(names) > 1:
        raise InputError(
            f"{table.source}: {len(names)} targets cannot be classes: give one, or "
            "task multilabel or regression"
        )
    return decided, f"target {said}: {decided}{why}"


def fit_aim(
    table: Table, names: Sequence[str], task: str, rows: Array, standardize: bool
) -> Aim:
    """Return the aim of these target columns, from the training rows.

    task: one of `TASKS`
    rows: (k,), the training rows
    standardize: whether to scale the targets of a regression

    Raises:
        InputError: the columns do not fit the task
    """
    if task == "multilabel":
        return Aim(tuple(names), task, classes=tuple(names))
    if task == "classification":
        return Aim(tuple(names), task, _classes(table, names[0], rows))
    targets = []
    for name in names:
        values = numbers(table, table.column(name), rows)
        scaled = mean_and_scale(values) if standardize else (0.0, 1.0)
        targets.append(Target(name, *scaled))
    return Aim(tuple(names), task, targets=tuple(targets))


def labels(aim: Aim, table: Table) -> Array:
    """Return the labels of the table's rows, in the form of a `Split`.

    Raises:
        InputError: a column is missing, a field is empty or of another kind, or a class
            is in no training row; the message names the place
    """
    rows = np.arange(table.rows)
    indices = [table.column(name) for name in aim.names]
    for i in indices:
        _refuse_empty(table, i)
    if aim.task == "classification":
        return _class_numbers(aim, table, indices[0])
    if aim.task == "multilabel":
        return np.stack([_zeros_and_ones(table, i) for i in indices], axis=1)
    values = np.stack([numbers(table, i, rows) for i in indices], axis=1)
    mean, scale = units(aim.targets)
    return np.asarray((values - mean) / scale)


def _decided(table: Table, names: Sequence[str]) -> tuple[str, str]:
    columns = [table.values[table.column(name)] for name in names]
    if len(columns) > 1:
        if all(map(_are_zeros_and_ones, columns)):
            why = ", as all are 0 or 1"
            labels = [_zeros_and_ones(table, table.column(name)) for name in names]
            if (np.sum(labels, axis=0) == 1).all():
                why += "; each row has a single 1: for classes, give one column"
            return "multilabel", why
        return "regression", ""
    values, i = columns[0], table.column(names[0])
    if isinstance(values, Text):
        typo = first_text(values)
        if typo is not None:
            raise InputError(f"{table.place(typo, i)}: {not_number(values, typo)}")
        refuse_written_otherwise(table, i, "give task classification")
        return "classification", ", as it is text"
    if bool(np.any(values != np.rint(values))):
        return "regression", ", as not all are whole numbers"
    different = len(np.unique(values))
    why = f", as it has {different:,} different whole numbers"
    if are_few(different, len(values)):
        return "classification", why
    return "regression", f"{why}: for classes, give task classification"


def are_few(different: int, rows: int) -> bool:
    """Return whether this many different whole numbers are classes."""
    return different <= max(2, min(MOST_CLASSES, rows // ROWS_A_CLASS))


def _are_zeros_and_ones(values: Values) -> bool:
    if isinstance(values, Text):
        return {text.lower() for text in values.values} <= {"true", "false"}
    return bool(np.isin(values, (0, 1)).all())


def _classes(table: Table, name: str, rows: Array) -> tuple[str, ...]:
    """Return the names of the classes, sorted; refuse numbers that are not whole."""
    i = table.column(name)
    values = table.values[i]
    if not isinstance(values, Text):
        part = np.flatnonzero(values[rows] != np.rint(values[rows]))
        if len(part):
            row = int(rows[part[0]])
            raise InputError(
                f"{table.place(row, i)}: {values[row]:g} is not a class: classes are "
                "text or whole numbers; task regression predicts numbers"
            )
    column = as_text(values)
    texts = [column.values[code] for code in np.unique(column.codes[rows])]
    if len(texts) > MAX_CLASSES:
        raise InputError(
            f"{table.source}: column {name!r} has {len(texts):,} classes; at most "
            f"{MAX_CLASSES} are possible"
        )
    if len(texts) < 2:
        raise InputError(
            f"{table.source}: training needs ≥2 classes, found only {listed(texts)} in "
            f"column {name!r}"
        )
    numbers = [number(text) for text in texts]
    if None in numbers:
        return tuple(sorted(texts))
    return tuple(text for _, text in sorted(zip(numbers, texts, strict=True)))


def _class_numbers(aim: Aim, table: Table, i: int) -> Array:
    column = as_text(table.values[i])
    known = index_by_name(aim.classes)
    own = np.array([known.get(text, -1) for text in column.values])[column.codes]
    if (own < 0).any():
        row = int((own < 0).argmax())
        text = column.values[column.codes[row]]
        raise InputError(
            f"{table.place(row, i)}: class {text[:40]!r} is in no training row; they "
            f"have {listed(aim.classes)}"
        )
    return own.astype(np.int64)


def _zeros_and_ones(table: Table, i: int) -> Array:
    """Return a column of labels, (n,) uint8."""
    values = table.values[i]
    if isinstance(values, Text):
        ones = np.array([text.lower() == "true" for text in values.values])
        known = np.array([text.lower() in ("true", "false") for text in values.values])
        bad, own = ~known[values.codes], ones[values.codes]
    else:
        bad, own = ~np.isin(values, (0, 1)), values == 1
    if bad.any():
        place = table.place(int(bad.argmax()), i)
        raise InputError(f"{place}: a label must be 0 or 1")
    return own.astype(np.uint8)


def _refuse_empty(table: Table, i: int) -> None:
    empty = are_empty(table.values[i])
    if empty.any():
        place = table.place(int(empty.argmax()), i)
        raise InputError(f"{place}: the target is missing: leave the row out")
