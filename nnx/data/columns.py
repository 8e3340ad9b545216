"""The features of a table's columns.

`fit` decides from a table's training rows how each column becomes features; `features`
applies that to this table, or to any other with the same columns:

    columns = fit(table, names, rows)       # tuple[Column, ...]
    x = features(columns, table)            # (n, sum of the columns' widths) float32

Columns are found by name: they may be in any order, and other columns are ignored.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from nnx.data.arrays import near_one
from nnx.data.dataset import Array, Column
from nnx.data.limits import MAX_UNPACKED
from nnx.data.tabular import (
    Table,
    Text,
    as_text,
    index_by_name,
    listed,
    number,
    unit_of,
)
from nnx.errors import InputError

# A column is text if at least this share of its fields are not numbers. If fewer are
# not, these fields are errors.
TEXT_SHARE = 0.05
MAX_CATEGORIES = 1000
# Up to this many different texts are categories, however small the table is.
FEW = 20
LARGEST = float(np.finfo(np.float32).max)
# A standard deviation of at most this share of the mean is caused only by rounding.
_ROUNDING = 4 * float(np.finfo(np.float64).eps)


def fit(
    table: Table,
    names: Sequence[str],
    rows: Array,
    *,
    fill: bool = False,
    standardize: bool = True,
    categorical: Sequence[str] = (),
) -> tuple[Column, ...]:
    """Return how each of these columns becomes features, from the training rows.

    A column of numbers is standardized: its mean is subtracted, and it is divided by
    its population standard deviation (1 for a constant column). A column of text, or
    one listed as categorical, becomes a feature for each of its categories, in sorted
    order.

    rows: (k,), the training rows
    fill: replace empty fields by the median, or the most frequent category; without
        it, empty fields are refused
    standardize: whether to standardize columns of numbers
    categorical: names of columns to treat as text

    Raises:
        InputError: a column is empty, has too many categories, is missing, or has a
            few texts among numbers
    """
    made = []
    for name, i in zip(names, table.indices(names), strict=True):
        values = table.values[i]
        if name in categorical or isinstance(values, Text):
            mixed = None if name in categorical else first_text(values)
            if mixed is not None:
                raise InputError(
                    f"{table.place(mixed, i)}: {not_number(values, mixed)}, unlike "
                    "nearly all of the column: correct it, or take the column as "
                    "categorical"
                )
            made.append(_categories(table, i, rows, fill))
        else:
            made.append(_scaling(table, i, rows, fill, standardize))
    return tuple(made)


def features(columns: Sequence[Column], table: Table, rows: Any = None) -> Array:
    """Return a table's rows as features of a network, float32.

    columns: from `fit`, or from a network
    rows: (k,), the rows to take; None: all
    returns: (k, sum of the columns' widths)

    Raises:
        InputError: a column is missing; text in a column of numbers; an empty field
            that cannot be filled; a category not in the training rows. Faults in a
            field are reported with its place
    """
    which = np.arange(table.rows) if rows is None else np.asarray(rows)
    width = sum(column.width for column in columns)
    if len(which) * width * 4 > MAX_UNPACKED:
        raise InputError(
            f"{table.source}: {len(which):,} rows of {width:,} features do not fit in "
            f"{MAX_UNPACKED >> 30} GiB: leave out columns with many categories"
        )
    out = np.zeros((len(which), width), np.float32)
    at = 0
    indices = table.indices([column.name for column in columns])
    for column, i in zip(columns, indices, strict=True):
        if column.categories:
            own = _codes(table, i, column, which)
            out[np.arange(len(which)), at + own] = 1
        else:
            own = (_filled(table, i, column, which) - column.mean) / column.scale
            beyond = ~(np.abs(own) <= LARGEST)
            if beyond.any():
                place = table.place(int(which[beyond.argmax()]), i)
                raise InputError(f"{place}: far outside the range of the training rows")
            out[:, at] = own
        at += column.width
    return out


def _scaling(
    table: Table, i: int, rows: Array, fill: bool, standardize: bool
) -> Column:
    """Return how a column of numbers is scaled, from these rows."""
    name, values = table.names[i], numbers(table, i, rows)
    present = values[~np.isnan(values)]
    if not len(present):
        raise InputError(
            f"{table.source}: column {name!r} has only empty fields in the training "
            "rows: leave it out with drop"
        )
    median = float(np.median(present)) if fill else None
    if not standardize:
        return Column(name, fill=median)
    filled = np.where(np.isnan(values), median, values) if fill else present
    return Column(name, *mean_and_scale(filled), median)


def mean_and_scale(values: Array) -> tuple[float, float]:
    """Return the mean and the standard deviation of values, (n,); 1 if constant."""
    if values.min() == values.max():
        return float(values[0]), 1.0
    mean = float(values.mean())
    scaled, power = near_one(values - mean)
    deviation = float(np.ldexp(np.sqrt(np.mean(scaled**2)), power))
    return mean, deviation if deviation > _ROUNDING * abs(mean) else 1.0


def _categories(table: Table, i: int, rows: Array, fill: bool) -> Column:
    """Return a column of text with the categories in these rows."""
    name, (texts, codes) = table.names[i], as_text(table.values[i])
    own = codes[rows]
    counts = np.bincount(own[own >= 0], minlength=len(texts))
    present = sorted((texts[code], int(code)) for code in np.flatnonzero(counts))
    if not present:
        raise InputError(
            f"{table.source}: column {name!r} has only empty fields in the training "
            "rows: leave it out with drop"
        )
    if too_many(len(present), len(rows)):
        raise InputError(
            f"{table.source}: column {name!r} has {len(present):,} different texts in "
            f"{len(rows):,} rows, too many to learn from: leave it out with drop"
        )
    # Among equally frequent categories take the first, for any order of the rows.
    usual = max(present, key=lambda pair: counts[pair[1]])[0] if fill else None
    return Column(name, fill=usual, categories=tuple(text for text, _ in present))


def numbers(table: Table, i: int, rows: Array) -> Array:
    """Return the rows' numbers in a column, (k,) float64; NaN for an empty field.

    Raises:
        InputError: a field is text, or a number outside float32's range
    """
    values = table.values[i]
    if isinstance(values, Text):
        parsed = np.array([number(text) for text in values.values] + [np.nan], object)
        is_text = np.array([value is None for value in parsed])[values.codes[rows]]
        if is_text.any():
            row = int(rows[is_text.argmax()])
            raise InputError(f"{table.place(row, i)}: {not_number(values, row)}")
        own = parsed.astype(np.float64)[values.codes[rows]]
    else:
        own = np.asarray(values[rows], np.float64)
    beyond = np.abs(own) > LARGEST
    if beyond.any():
        row, value = int(rows[beyond.argmax()]), own[beyond][0]
        raise InputError(f"{table.place(row, i)}: {value:g} is too large, or infinite")
    return own


def not_number(values: Text, row: int) -> str:
    """Return the message for a field that should be a number."""
    return f"{_said(values, row)} is not a number"


def too_many(categories: int, rows: int) -> bool:
    """Return whether texts are too many for categories, as names of rows would be."""
    return categories > min(MAX_CATEGORIES, max(FEW, rows // 2))


def _filled(table: Table, i: int, column: Column, rows: Array) -> Array:
    """Return the rows' numbers in a column, with empty fields filled."""
    own = numbers(table, i, rows)
    empty = np.isnan(own)
    if column.fill is None:
        _refuse_empty(table, i, rows, empty)
        return own
    return np.where(empty, column.fill, own)


def _codes(table: Table, i: int, column: Column, rows: Array) -> Array:
    """Return the number of each row's category, (k,) int64."""
    values = as_text(table.values[i])
    known = index_by_name(column.categories)
    fill = -1 if column.fill is None else known[str(column.fill)]
    own = values.codes[rows]
    unseen = len(column.categories)
    indices = [known.get(text, unseen) for text in values.values]
    which = np.array([*indices, fill], np.int64)[own]
    _refuse_empty(table, i, rows, which < 0)
    if (which == unseen).any():
        row = int(rows[(which == unseen).argmax()])
        raise InputError(
            f"{table.place(row, i)}: {_said(values, row)} is in no training row; they "
            f"have {listed(column.categories)}"
        )
    return which


def _refuse_empty(table: Table, i: int, rows: Array, empty: Array) -> None:
    if empty.any():
        place = table.place(int(rows[empty.argmax()]), i)
        raise InputError(
            f"{place}: empty field: fill it in, or train a network without the column "
            "or with missing = fill"
        )


def first_text(values: Text) -> int | None:
    """Return the first row with text if nearly all others have numbers, or None."""
    is_text = np.array([number(text) is None for text in values.values] + [False])
    own = is_text[values.codes]
    share = own.sum() / max(1, (values.codes >= 0).sum())
    return int(own.argmax()) if 0 < share < TEXT_SHARE else None


def refuse_written_otherwise(table: Table, i: int, instead: str) -> None:
    """Refuse a column of text whose fields are nearly all numbers in another notation.

    A column with at most two different texts is accepted: as categories they are as
    good as numbers. So is one of up to `FEW` numbers with a unit, as in 4 rooms, and
    one in which less than `TEXT_SHARE` is in another notation: these fields are
    errors, which `fit` reports.

    instead: advice for the case that the fields are categories
    """
    values = table.values[i]
    if not isinstance(values, Text) or len(values.values) < 3:
        return
    units = [unit_of(text) for text in values.values]
    words = Counter(filter(None, units)) if len(units) > FEW else Counter[str]()
    accepted = {"", *(word for word, _ in words.most_common(1))}
    otherwise = np.array([*(unit in accepted for unit in units), False])
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
        "column are numbers in such a form: write them as in 1234.5, with a point and "
        f"no sign or unit; or, if each is a category, {instead}"
    )


def _said(values: Text, row: int) -> str:
    """Return a field's text as shown in messages."""
    return repr(values.values[values.codes[row]][:40])
