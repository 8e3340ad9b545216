"""A Parquet file as named columns of numbers or text, read with pyarrow."""

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from nnx.data.limits import refuse_larger
from nnx.data.tabular import (
    Table,
    Values,
    as_text,
    text_column,
    wanted,
    wanted_in_blocks,
)
from nnx.errors import InputError, first_line
from nnx.files import readable

# Fields read at once.
BLOCK = 1 << 18
# pandas' and pyarrow's names for the levels of an index without names.
_UNNAMED = re.compile("__index_level_[0-9]+__")


def read(
    path: Path,
    *,
    text: Collection[str] = (),
    only: Collection[str] | None = None,
    without: Collection[str] = (),
) -> Table:
    """Return a Parquet file's columns; nulls are empty fields, booleans are text.

    Arguments as for `nnx.data.read_table.read_table`.

    Raises:
        InputError: pyarrow is missing, the file is not a Parquet file or has no rows,
            or a column holds anything but numbers, booleans and text
    """
    with _opened(path) as file:
        refuse_larger(path, sum(_group_sizes(file.metadata)), "unpacked")
        index = _unnamed_index(file) - {*(only or ())}
        names = _names(path, file, only, {*without, *index})
        whole = _checked(file.read(columns=names))
    left = sorted(index - {*without}) if only is None else []
    notes = tuple(f"{name} is pandas' index without a name: left out" for name in left)
    return _table(path, whole, names, text, 0)._replace(notes=notes)


def read_blocks(
    path: Path,
    *,
    text: Collection[str] = (),
    needed: Collection[str] | None = None,
    copied: str = "",
) -> Iterator[tuple[Table, list[str]]]:
    """Yield a Parquet file's rows in blocks, each with the fields of the copied column.

    Arguments as for `nnx.data.read_table.read_blocks`.
    """
    import_pyarrow(path)
    import pyarrow as pa

    with _opened(path) as file:
        every = file.schema_arrow.names
        index = _unnamed_index(file)
        places = wanted_in_blocks(str(path), every, needed, copied, index)
        names, first = [every[i] for i in places], 0
        columns = list(dict.fromkeys([*names, *([copied] if copied else [])]))
        rows = max(1, BLOCK // max(1, len(columns)))
        for batch in file.iter_batches(batch_size=rows, columns=columns):
            block = _checked(pa.Table.from_batches([batch]))
            ids = list(map(str, block.column(copied).to_pylist())) if copied else []
            yield _table(path, block.select(names), names, text, first), ids
            first += len(block)
        if not first:
            raise InputError(f"{path}: no rows")


def import_pyarrow(path: Path) -> None:
    """Raise InputError for a Parquet file if pyarrow is not installed."""
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise InputError(
            f"{path}: Parquet needs an extra: pip install 'nnx-mlp[parquet]'"
        ) from None


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a Parquet file; faults found by pyarrow raise one-line errors."""
    import_pyarrow(path)
    import pyarrow as pa
    import pyarrow.parquet as pq

    with readable(path):
        try:
            with pq.ParquetFile(path) as file:
                schema, about = file.schema_arrow, file.metadata
            refuse_larger(path, max(_group_sizes(about), default=0), "unpacked")
            texts = [field.name for field in schema if _is_text(field.type)]
            # Read each text only once: a small file may repeat a long one in every row.
            with pq.ParquetFile(path, metadata=about, read_dictionary=texts) as file:
                yield file
        except (InputError, MemoryError):
            raise
        except (pa.ArrowException, ValueError, NotImplementedError) as error:
            why = first_line(error)
            raise InputError(f"{path}: not a readable Parquet file: {why}") from None


def _group_sizes(about: Any) -> list[int]:
    """Return the unpacked size in bytes that the file claims for each row group."""
    groups = range(about.num_row_groups)
    return [about.row_group(i).total_byte_size for i in groups]


def _checked(table: Any) -> Any:
    """Return a table; refuse invalid content, such as text that is not UTF-8."""
    table.validate(full=True)
    return table


def _table(
    path: Path, read: Any, names: list[str], text: Collection[str], first: int
) -> Table:
    """Return pyarrow's table as a `Table`; first: its first row's number."""

    def place(row: int, column: int) -> str:
        return f"{path}, row {first + row + 1}, column {names[column][:40]!r}"

    values = []
    for i, name in enumerate(names):
        column, place_of = read.column(i), f"{path}, column {name[:40]!r}"
        values.append(_values(column, place_of, name in text))
    return Table(str(path), tuple(names), tuple(values), place)


def _names(
    path: Path, file: Any, only: Collection[str] | None, without: Collection[str]
) -> list[str]:
    """Return the names of the columns to read; refuse too many numbers."""
    every = file.schema_arrow.names
    names = [every[i] for i in wanted(str(path), every, only, without)]
    rows = file.metadata.num_rows
    if not rows:
        raise InputError(f"{path}: no rows")
    refuse_larger(path, 8 * rows * len(names))
    return names


def _unnamed_index(file: Any) -> set[str]:
    """Return the columns that pandas wrote for an index without a name."""
    return {name for name in file.schema_arrow.names if _UNNAMED.fullmatch(name)}


def _values(column: Any, place: str, is_text: bool) -> Values:
    """Return a pyarrow column in the form of a `Table`, or as text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    is_integer, is_decimal = pa.types.is_integer(kind), pa.types.is_decimal(kind)
    if is_decimal:  # as CSV's fields are read: a cast to float64 would not be exact
        column = pc.cast(column, pa.string())
    if is_text and (is_integer or (is_decimal and kind.scale == 0)):
        column = pc.cast(column, pa.string())
        kind = column.type
    elif is_integer and not column.null_count:
        return column.to_numpy()
    elif is_integer or is_decimal or pa.types.is_floating(kind):
        numbers = pc.fill_null(pc.cast(column, pa.float64(), safe=False), np.nan)
        return as_text(numbers.to_numpy()) if is_text else numbers.to_numpy()
    if pa.types.is_boolean(kind):
        column = pc.if_else(column, "True", "False")
    elif not _is_text(kind):
        raise InputError(
            f"{place}: is {kind}, neither numbers nor text: leave it out with drop"
        )
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    whole = column.unify_dictionaries().combine_chunks()
    codes = pc.fill_null(whole.indices, -1).to_numpy(zero_copy_only=False)
    return text_column(whole.dictionary.to_pylist(), codes)


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return kind in (pa.string(), pa.large_string(), pa.string_view())
