"""Arrays and data frames in memory as named columns of numbers or text."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from numbers import Integral, Real
from typing import Any

import numpy as np

from nnx.data.arrays import Array, as_array
from nnx.data.tabular import (
    Table,
    Values,
    as_field,
    as_text,
    length,
    require_columns,
    text_column,
    wanted,
)
from nnx.errors import InputError


def is_frame(x: Any) -> bool:
    """Return whether x is a data frame of pandas, Polars or another library.

    A data set, which is a tuple, has columns too.
    """
    is_indexed = hasattr(x, "__getitem__") and not isinstance(x, tuple)
    return is_indexed and hasattr(x, "columns")


def table_of(
    frame: Any,
    source: str,
    text: Collection[str] = (),
    only: Collection[str] | None = None,
    without: Collection[str] = (),
) -> Table:
    """Return a data frame as a table; its index is not a column.

    text: names of columns to read as text, even if they have only numbers
    only, without: names of columns to read (None: all) and to leave out

    Raises:
        InputError: there are no rows, a name is missing or occurs twice, or a column
            that is read holds anything but numbers, booleans and text
    """
    labels = _labels(frame, source)
    names = [str(label) for label in labels]
    indices = wanted(source, names, only, without)
    read = tuple(names[i] for i in indices)
    values = tuple(
        column_of(frame[labels[i]], f"{source}, column {names[i]!r}", names[i] in text)
        for i in indices
    )
    return _checked(source, read, values)


def _labels(frame: Any, source: str) -> list[Any]:
    """Return the labels of a frame's columns; refuse a lazy frame.

    In PyArrow's tables, `columns` are the columns themselves.
    """
    if callable(getattr(type(frame), "collect", None)):  # as LazyFrame of Polars
        kind = type(frame).__name__
        raise InputError(f"{source} is a {kind}, without rows yet: give its collect()")
    return list(
        frame.column_names if hasattr(type(frame), "column_names") else frame.columns
    )


def table_of_array(
    array: Any, source: str, names: Sequence[str] | None = None
) -> Table:
    """Return an array's columns as a table.

    array: (n,) or (n, columns)
    names: of the columns; None: x0, x1, …

    Raises:
        InputError: the array has another shape, or no rows
    """
    whole = as_array(array, source)
    whole = whole[:, None] if whole.ndim == 1 else whole
    if whole.ndim != 2 or not whole.shape[1]:
        raise InputError(f"{source} should have shape (n, columns), not {whole.shape}")
    names = names or [f"x{i}" for i in range(whole.shape[1])]
    if len(names) != whole.shape[1]:
        one = "; give one row as array[None]" if len(whole) == len(names) else ""
        raise InputError(
            f"{source} has {whole.shape[1]} columns, not {len(names)}{one}"
        )
    values = tuple(
        column_of(whole[:, i], f"{source}, column {i}") for i in range(len(names))
    )
    return _checked(source, tuple(names), values)


def joined(x: Table, y: Table) -> Table:
    """Return a table with the columns of both tables.

    Raises:
        InputError: the numbers of rows differ, or a name is in both
    """
    if x.rows != y.rows:
        raise InputError(f"{x.source} has {x.rows} rows, and {y.source} {y.rows}")
    shared = [name for name in y.names if name in x.names]
    if shared:
        raise InputError(
            f"{shared[0]!r} is a column of both {x.source} and {y.source}: leave it "
            "out of one"
        )
    own = len(x.names)

    def place(row: int, column: int) -> str:
        return x.place(row, column) if column < own else y.place(row, column - own)

    return Table(x.source, x.names + y.names, x.values + y.values, place)


def table_of_pair(
    pair: tuple[Any, Any],
    sources: tuple[str, str],
    names: Sequence[str] | None = None,
    text: Collection[str] = (),
    columns: Sequence[str] | None = None,
    without: Collection[str] = (),
) -> tuple[Table, tuple[str, ...]]:
    """Return x and y as one table, and the names of y's columns in it.

    x: a data frame, or an array of columns
    y: an array, a series, a data frame, or names of columns of x
    names: of y's columns; None: their own
    text: names of a frame's columns to read as text, as for `table_of`
    columns: of a frame, names of the columns to read besides y's (None: all); of an
        array, the names of all columns (None: x0, x1, …)
    without: names of columns to leave out of a frame
    """
    (x, y), source = pair, sources[0]
    if is_frame(x):
        named = _names_in(y, source, [*map(str, _labels(x, source))])
        only = None if columns is None else [*columns, *named]
        table = table_of(x, source, text, only, without)
        if named:
            return table, named
    else:
        table = table_of_array(x, source, columns)
        require_columns(source, table.names, without)
    target = target_table(y, sources[1], names)
    return joined(table, target), target.names


def _names_in(y: Any, source: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return y as names of a frame's columns, or () if it is something else."""
    if isinstance(y, str):
        require_columns(source, names, [y])
        return (y,)
    is_list = isinstance(y, list | tuple) and bool(y)
    return tuple(y) if is_list and all(name in names for name in y) else ()


def categories_of(
    pair: tuple[Any, Any], source: str, without: Collection[str]
) -> tuple[str, ...]:
    """Return the names of x's columns of pandas' category dtype, without those of y.

    x, y: as for `table_of_pair`
    without: names of more columns to leave out
    """
    x, y = pair
    if not (is_frame(x) and hasattr(x, "dtypes")):
        return ()
    kinds = dict(zip(map(str, _labels(x, source)), map(str, x.dtypes), strict=True))
    out = {*without, *_names_in(y, source, [*kinds])}
    return tuple(n for n, kind in kinds.items() if kind == "category" and n not in out)


def target_table(y: Any, source: str, names: Sequence[str] | None = None) -> Table:
    """Return the targets as a table.

    y: (n,) or (n, targets), or a data frame
    names: of its columns; a frame with these names keeps its own order. None: those of
        the series or frame, or else "target", or "target0", "target1", …
    """
    if is_frame(y):
        own = table_of(y, source)
        if names and len(names) != len(own.names):
            raise InputError(f"{source} has {len(own.names)} columns, not {len(names)}")
        if not names or {*names} == {*own.names}:
            return own
        return own._replace(names=tuple(names))
    array = as_array(y, source)
    if names is None:
        name = getattr(y, "name", None)
        count = array.shape[1] if array.ndim > 1 else 1
        names = [f"target{i}" for i in range(count)] if count > 1 else ["target"]
        names = [str(name)] if count == 1 and name not in (None, "") else names
    return table_of_array(array, source, names)


def column_of(column: Any, place: str, is_text: bool = False) -> Values:
    """Return a column in the form of a `Table`; booleans become text.

    column: (n,), numbers, booleans or text; as objects, also missing values
    is_text: whether to return text in any case

    Raises:
        InputError: the column holds anything else
    """
    array = as_array(column, place)
    if is_text and getattr(column, "dtype", array.dtype) != array.dtype:
        array = np.array(list(column), object)  # keeps integers beside gaps exact
    if array.ndim == 1 and array.dtype.kind in "iuf":
        values = array if array.dtype.kind in "iu" else array.astype(np.float64)
        return as_text(values) if is_text else values
    if array.ndim != 1 or array.dtype.kind not in "bUTO":
        raise InputError(
            f"{place}: is {array.dtype}, neither numbers nor text: leave it "
            "out with drop"
        )
    items = array.tolist()
    if array.dtype.kind == "O":
        fields = [_field(item, place) for item in items]
        if not is_text and not any(isinstance(field, str) for field in fields):
            return _as_numbers(fields)
        said = [
            "" if f is None else f if isinstance(f, str) else as_field(f)
            for f in fields
        ]
    else:
        said = [str(item) for item in items]
    known = dict.fromkeys(said)
    index = {text: i for i, text in enumerate(known)}
    return text_column(list(known), np.array([index[text] for text in said], np.int64))


def _as_numbers(fields: list[Any]) -> Array:
    """Return fields as int64 if all are integers, or else float64 with NaN for None."""
    if fields and all(isinstance(f, int) and abs(f) < 2**63 for f in fields):
        return np.array(fields, np.int64)
    return np.array([np.nan if f is None else f for f in fields], np.float64)


def _field(item: Any, place: str) -> float | str | None:
    """Return an object as a number or text; None for a missing value."""
    is_array = bool(getattr(item, "shape", ()))
    if (
        item is None
        or type(item).__name__ == "NAType"
        or (not is_array and item != item)
    ):
        return None
    if isinstance(item, str | bool | np.bool_):
        return str(item)
    if isinstance(item, Real) or type(item).__name__ == "Decimal":
        with suppress(OverflowError):
            near = float(item)
            return int(item) if isinstance(item, Integral) else near
        raise InputError(f"{place}: holds a number too large for a float")
    raise InputError(
        f"{place}: holds {type(item).__name__}, neither numbers nor text: leave it "
        "out with drop"
    )


def _checked(source: str, names: tuple[str, ...], values: tuple[Values, ...]) -> Table:
    def place(row: int, column: int) -> str:
        return f"{source}, row {row} (from 0), column {names[column][:40]!r}"

    if not values or not length(values[0]):
        raise InputError(f"{source}: no rows")
    return Table(source, names, values, place)
