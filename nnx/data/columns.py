"""The features that a network is given of a table's columns.

`fit` looks at a table's training rows and says how each column becomes features;
`features` makes them, of that table and of any other with the same columns:

    columns = fit(table, names, rows)       # tuple[Column, ...]
    x = features(columns, table)            # (n, sum of the columns' widths) float32

Columns are told apart by name: their order is free, and others are ignored.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nnx.data.dataset import Array, Column
from nnx.data.limits import MAX_UNPACKED
from nnx.data.tabular import (
    Table,
    Text,
    as_text,
    listed,
    number,
    written_otherwise,
)
from nnx.errors import InputError

# A column is text where at least this share of it is no number, and a fault where less.
TEXT_SHARE = 0.05
MAX_CATEGORIES = 1000
# So many different texts in a small table are no reason to take it for names.
FEW = 20
LARGEST = float(np.finfo(np.float32).max)


def fit(
    table: Table,
    names: Sequence[str],
    rows: Array,
    *,
    fill: bool = False,
    standardize: bool = True,
    categorical: Sequence[str] = (),
) -> tuple[Column, ...]:
    """Return how each of these columns becomes features, as the training rows have it.

    A column of numbers has its mean taken off and is divided by its standard deviation
    (of the population; a constant one by 1). One of text, and any that is called
    categorical, is a feature for each of its categories, in order.

    rows: (k,), which rows are trained on
    fill: an empty field stands for the median, or the most frequent category; without
        it, empty fields are refused

    Raises:
        InputError: a column of nothing, of more categories than can be learnt from, or
            of numbers among which there is text; a missing column
    """
    made = []
    for name, i in zip(names, table.places(names), strict=True):
        values = table.values[i]
        if name in categorical or isinstance(values, Text):
            mixed = None if name in categorical else first_text(values)
            if mixed is not None:
                raise InputError(
                    f"{table.place(mixed, i)}: {not_number(values, mixed)}, as nearly "
                    "all of the column are: mend it, or take the column as categorical"
                )
            made.append(_categories(table, i, rows, fill))
        else:
            made.append(_scaling(table, i, rows, fill, standardize))
    return tuple(made)


def features(columns: Sequence[Column], table: Table, rows: Any = None) -> Array:
    """Return a table's rows as the features that a network takes, float32.

    columns: as `fit` returned them, or as a network has them
    rows: (k,), which rows; all without it
    returns: (k, sum of the columns' widths)

    Raises:
        InputError: a missing column, text in one of numbers, an empty field where
            none may be, a category that the training rows do not have; by its place
    """
    which = np.arange(table.rows) if rows is None else np.asarray(rows)
    width = sum(column.width for column in columns)
    if len(which) * width * 4 > MAX_UNPACKED:
        raise InputError(
            f"{table.source}: {len(which):,} rows of {width:,} features have no room "
            f"in {MAX_UNPACKED >> 30} GiB: leave out columns of many categories"
        )
    out = np.zeros((len(which), width), np.float32)
    at = 0
    places = table.places([column.name for column in columns])
    for column, i in zip(columns, places, strict=True):
        if column.categories:
            own = _codes(table, i, column, which)
            out[np.arange(len(which)), at + own] = 1
        else:
            own = (_filled(table, i, column, which) - column.mean) / column.scale
            beyond = ~(np.abs(own) <= LARGEST)
            if beyond.any():
                place = table.place(int(which[beyond.argmax()]), i)
                raise InputError(f"{place}: far beyond what training rows have")
            out[:, at] = own
        at += column.width
    return out


def _scaling(
    table: Table, i: int, rows: Array, fill: bool, standardize: bool
) -> Column:
    """Return a column of numbers, scaled as its rows say."""
    name, values = table.names[i], numbers(table, i, rows)
    present = values[~np.isnan(values)]
    if not len(present):
        raise InputError(
            f"{table.source}: column {name!r} has only empty fields in the training "
            "rows: leave it out"
        )
    median = float(np.median(present)) if fill else None
    if not standardize:
        return Column(name, fill=median)
    filled = np.where(np.isnan(values), median, values) if fill else present
    return Column(name, *mean_and_scale(filled), median)


def mean_and_scale(values: Array) -> tuple[float, float]:
    """Return the mean and the standard deviation of numbers, (n,); 1 of a constant."""
    if values.min() == values.max():
        return float(values[0]), 1.0
    mean, deviation = float(values.mean()), float(values.std())
    # What rounding alone makes of a constant is no deviation.
    return mean, deviation if deviation > 1e-13 * abs(mean) else 1.0


def _categories(table: Table, i: int, rows: Array, fill: bool) -> Column:
    """Return a column of text, with the categories that its rows have."""
    name, (texts, codes) = table.names[i], as_text(table.values[i])
    own = codes[rows]
    counts = np.bincount(own[own >= 0], minlength=len(texts))
    present = sorted((texts[code], int(code)) for code in np.flatnonzero(counts))
    if not present:
        raise InputError(
            f"{table.source}: column {name!r} has only empty fields in the training "
            "rows: leave it out"
        )
    if too_many(len(present), len(rows)):
        raise InputError(
            f"{table.source}: column {name!r} has {len(present):,} different texts in "
            f"{len(rows):,} rows, too many to learn from: leave it out"
        )
    # Of equally frequent ones the first in order, whatever the order of the rows.
    usual = max(present, key=lambda pair: counts[pair[1]])[0] if fill else None
    return Column(name, fill=usual, categories=tuple(text for text, _ in present))


def numbers(table: Table, i: int, rows: Array) -> Array:
    """Return the rows' numbers in a column, (k,) float64, NaN where a field is empty.

    Raises:
        InputError: text, numbers beyond float32's range
    """
    values = table.values[i]
    if isinstance(values, Text):
        each = np.array([number(text) for text in values.values] + [np.nan], object)
        is_text = np.array([value is None for value in each])[values.codes[rows]]
        if is_text.any():
            row = int(rows[is_text.argmax()])
            raise InputError(f"{table.place(row, i)}: {not_number(values, row)}")
        own = each.astype(np.float64)[values.codes[rows]]
    else:
        own = np.asarray(values[rows], np.float64)
    beyond = np.abs(own) > LARGEST
    if beyond.any():
        row, value = int(rows[beyond.argmax()]), own[beyond][0]
        raise InputError(f"{table.place(row, i)}: {value:g} is too large, or infinite")
    return own


def not_number(values: Text, row: int) -> str:
    """Return what is said of a field that should be a number."""
    return f"{_said(values, row)} is not a number"


def too_many(categories: int, rows: int) -> bool:
    """Return whether these are names of the rows, or more than can be learnt from."""
    return categories > min(MAX_CATEGORIES, max(FEW, rows // 2))


def _filled(table: Table, i: int, column: Column, rows: Array) -> Array:
    """Return the rows' numbers in a column, with what stands for empty fields."""
    own = numbers(table, i, rows)
    empty = np.isnan(own)
    if column.fill is None:
        _refuse_empty(table, i, rows, empty)
        return own
    return np.where(empty, column.fill, own)


def _codes(table: Table, i: int, column: Column, rows: Array) -> Array:
    """Return which of the column's categories each row has."""
    values = as_text(table.values[i])
    known = {text: n for n, text in enumerate(column.categories)}
    fill = -1 if column.fill is None else known[str(column.fill)]
    own = values.codes[rows]
    unseen = len(known)
    found = [known.get(text, unseen) for text in values.values]
    which = np.array([*found, fill], np.int64)[own]
    _refuse_empty(table, i, rows, which < 0)
    if (which == unseen).any():
        row = int(rows[(which == unseen).argmax()])
        raise InputError(
            f"{table.place(row, i)}: {_said(values, row)} is in no training row; there "
            f"are {listed(column.categories)}"
        )
    return which


def _refuse_empty(table: Table, i: int, rows: Array, empty: Array) -> None:
    if empty.any():
        place = table.place(int(rows[empty.argmax()]), i)
        raise InputError(
            f"{place}: empty field: mend it, leave the column out, or train with "
            "missing = fill"
        )


def first_text(values: Text) -> int | None:
    """Return the first row with text, where nearly all others have numbers."""
    is_text = np.array([number(text) is None for text in values.values] + [False])
    own = is_text[values.codes]
    share = own.sum() / max(1, (values.codes >= 0).sum())
    return int(own.argmax()) if 0 < share < TEXT_SHARE else None


def refuse_written_otherwise(table: Table, i: int, instead: str) -> None:
    """Refuse a column of text of which nearly all would be numbers with a point alone.

    Two different texts, or what is a number but for less than a share, are let through:
    the first are as good as two numbers, and the others a fault of some fields.

    instead: what to do where each is a category, in words
    """
    values = table.values[i]
    if not isinstance(values, Text) or len(values.values) < 3:
        return
    otherwise = np.array([*map(written_otherwise, values.values), False])
    plain = np.array([number(text) is not None for text in values.values] + [False])
    filled = max(1, (values.codes >= 0).sum())
    of_them, of_both = (
        known[values.codes].sum() / filled for known in (otherwise, otherwise | plain)
    )
    if of_them < TEXT_SHARE or of_both <= 1 - TEXT_SHARE:
        return
    row = int(otherwise[values.codes].argmax())
    raise InputError(
        f"{table.place(row, i)}: {_said(values, row)} is text, and nearly all of the "
        "column are numbers written so: write them with a point and no other sign, as "
        f"in 1234.5; or, if each is a category, {instead}"
    )


def _said(values: Text, row: int) -> str:
    """Return a field's text as an error's line shows it."""
    return repr(values.values[values.codes[row]][:40])
