"""Making a data set from a table: its targets, features, and training and test rows."""

from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nnx.data.columns import (
    FEW,
    features,
    fit,
    numbers,
    refuse_written_otherwise,
    too_many,
)
from nnx.data.dataset import Array, Column, Dataset, Frame, Split, TableOptions
from nnx.data.read_table import TEXTS, read_table
from nnx.data.rows import Rows, in_file
from nnx.data.split import held_out_rows, none_held_out
from nnx.data.table_options import refuse_contradictions
from nnx.data.tabular import (
    Table,
    Text,
    are_empty,
    as_text,
    number,
    require_columns,
)
from nnx.data.targets import Aim, are_few, decide, fit_aim, labels
from nnx.errors import InputError

TEST_PART = 10


def load_table(path: Path, name: str, options: TableOptions) -> Dataset:
    """Return the data set of a table's file, and of its test and validation files.

    Without a table for testing, a tenth of the rows is held out, always the same ones;
    of fewer than ten rows all are trained and tested on.
    Rows with a category or class that would be missing in training are not held out.

    Raises:
        InputError: files, columns and options do not fit each other
    """
    refuse_contradictions(options)
    text, codes = options.categorical, options.target[:1]
    if len(options.target) > 1 or options.task not in ("auto", "classification"):
        codes = ()
    table = read_table(path, text=text, without=options.drop, codes=codes)
    if options.task == "auto" and path.suffix.lower() in TEXTS:
        table = _with_numbers(table, codes)
    others = {}
    for part in "test", "validation":
        if other := getattr(options, f"{part}_data"):
            own = [
                n
                for n, v in zip(table.names, table.values, strict=True)
                if isinstance(v, Text)
            ]
            others[part] = read_table(Path(other), text=own, only=table.names)
    return table_set(name, table, options, **others)


def _with_numbers(table: Table, codes: Sequence[str]) -> Table:
    """Return a table whose codes become numbers if there are too many for classes."""
    values = list(table.values)
    for i in table.indices([name for name in codes if name in table.names]):
        column = values[i]
        if (
            isinstance(column, Text)
            and not are_few(len(column.values), table.rows)
            and None not in map(number, column.values)
        ):
            values[i] = numbers(table, i, np.arange(table.rows))
    return table._replace(values=tuple(values))


def table_set(
    name: str,
    table: Table,
    options: TableOptions,
    test: Table | None = None,
    validation: Table | None = None,
) -> Dataset:
    """Return the data set of a table, and of tables for testing and validation.

    Raises:
        InputError: columns and options do not fit each other
    """
    refuse_contradictions(options)
    require_columns(table.source, table.names, (*options.target, *options.categorical))
    left_out = {*options.target, *options.drop}
    names = [name for name in table.names if name not in left_out]
    if not names:
        raise InputError(
            f"{table.source}: no columns but the target: nothing to learn from"
        )
    _refuse_written_otherwise(table, names, options.categorical)
    task, decided = decide(table, options.target, options.task)
    of_text = options.categorical
    of_text += options.target if task == "classification" else ()
    rows, test_rows, note = held_out(table, names, of_text, test is not None)
    scaled = ("both", "targets"), ("both", "columns")
    of_aim, of_columns = (options.standardize in those for those in scaled)
    aim = fit_aim(table, options.target, task, rows, of_aim)
    fill, categorical = options.missing == "fill", options.categorical
    columns = fit(
        table, names, rows, fill=fill, standardize=of_columns, categorical=categorical
    )
    train = split_of(table, columns, aim, rows)
    tested = split_of(test or table, columns, aim, test_rows if test is None else None)
    said = *_filled(table, names), *_row_numbers(table, columns)
    notes = *table.notes, decided, _described(columns), *said, *note
    return Dataset(
        name,
        train,
        tested,
        aim.classes,
        Frame(1, train.images.shape[1], 1, 0),
        notes,
        task=task,
        columns=columns,
        targets=aim.targets,
        validation=None if validation is None else split_of(validation, columns, aim),
        options=options,
    )


def _refuse_written_otherwise(
    table: Table, names: Sequence[str], categorical: Collection[str]
) -> None:
    for i in table.indices([name for name in names if name not in categorical]):
        refuse_written_otherwise(table, i, f"give {table.names[i]!r} as categorical")


def split_of(
    table: Table, columns: Sequence[Column], aim: Aim, rows: Array | None = None
) -> Split:
    """Return features and labels of a table's rows, or of some of them."""
    which = np.arange(table.rows) if rows is None else rows
    images: Any
    if any(map(in_file, table.values)):
        read, width = partial(features, columns, table), sum(c.width for c in columns)
        images = Rows(which, read, width, np.float32)
    else:
        images = features(columns, table, which)
    return Split(images, labels(aim, table)[which])


def held_out(
    table: Table, names: Collection[str], of_text: Collection[str], has_test: bool
) -> tuple[Array, Array, tuple[str, ...]]:
    """Return the numbers of the training rows and of the test rows, and a note.

    A row with a category or class that no training row has is not held out.

    names: of the columns to examine
    of_text: names of columns to treat as text, even if they hold numbers
    """
    total = table.rows
    every, count = np.arange(total), total // TEST_PART
    if has_test:
        return every, every[:0], ()
    if total < 2:
        raise InputError(f"{table.source}: training needs 2 or more rows, not {total}")
    if count == 0:
        return every, every, (none_held_out(total, "rows"),)
    train, tested = held_out_rows(total, count)
    back = np.zeros(len(tested), bool)
    looked_at = list(dict.fromkeys([*names, *of_text]))
    for name, i in zip(looked_at, table.indices(looked_at), strict=True):
        values = table.values[i]
        if name in of_text or isinstance(values, Text):
            column = as_text(values)
            if too_many(len(column.values), total):
                continue  # `fit` refuses the column
            known = np.zeros(len(column.values) + 1, bool)
            known[column.codes[train]] = True
            known[-1] = True  # an empty field
            back |= ~known[column.codes[tested]]
    if back.all():
        raise InputError(
            f"{table.source}: no row can be held out for testing, as each has a text "
            "that no other row has: leave such a column out, or give a table to test on"
        )
    train = np.sort(np.concatenate([train, tested[back]]))
    note = (
        f"no test part: {(~back).sum():,} of {total:,} rows, always the same ones, are "
        "held out"
    )
    return train, tested[~back], (note,)


def _described(columns: Sequence[Column]) -> str:
    text = sum(bool(column.categories) for column in columns)
    width = sum(column.width for column in columns)
    numbers = len(columns) - text
    return f"columns of numbers: {numbers}, of text: {text}; features: {width}"


def _filled(table: Table, names: Sequence[str]) -> tuple[str, ...]:
    """Return a note on the number of empty fields, which are filled, or nothing."""
    empty = sum(int(are_empty(table.values[i]).sum()) for i in table.indices(names))
    return (f"{empty:,} empty fields are filled",) if empty else ()


def _row_numbers(table: Table, columns: Sequence[Column]) -> tuple[str, ...]:
    """Return a note on each column that numbers the rows, unless it is the only one.

    Such numbers are learned like any others, but in a table of later rows they are far
    outside the range of the training rows.
    """
    if table.rows <= FEW or len(columns) == 1:
        return ()
    names = [column.name for column in columns if not column.categories]
    return tuple(
        f"column {name!r} numbers the rows: unless the target depends on that, leave "
        "it out with drop"
        for name, i in zip(names, table.indices(names), strict=True)
        # The first rows tell nearly always, without reading a long column.
        if _counts(table.values[i][:FEW]) and _counts(table.values[i])
    )


def _counts(values: Any) -> bool:
    """Return whether each number, (n,), is one more than the number before."""
    return bool((np.diff(np.asarray(values, np.float64)) == 1).all())
