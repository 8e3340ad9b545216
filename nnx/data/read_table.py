"""Reading a table from a file of any supported kind, as named columns."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from nnx.data import csv_table, npy, parquet_table
from nnx.data.tabular import Table
from nnx.errors import InputError
from nnx.files import refuse_packed

TEXTS = ".csv", ".tsv", ".txt"  # which do not say what is text and what is a number
_MODULES = dict.fromkeys(TEXTS, csv_table) | {".parquet": parquet_table, ".npy": npy}
KINDS = tuple(_MODULES)


def read_table(
    path: Path,
    *,
    text: Collection[str] = (),
    only: Collection[str] | None = None,
    without: Collection[str] = (),
    codes: Collection[str] = (),
) -> Table:
    """Return a table's columns, as numbers if all their fields are.

    text: names of columns to read as text, even if all their fields are numbers, such
        as those that were text in training
    only: names of the columns to read; None: all that have a name
    without: names of columns to leave out
    codes: names of columns that are also text if a number in them would change as a
        float, such as 007; only for CSV, as the other formats tell text from numbers

    Raises:
        InputError: the file is of another kind, or is not a table
    """
    module = _module(path)
    more = {"codes": codes} if module is csv_table else {}
    table: Table = module.read(path, text=text, only=only, without=without, **more)
    return table


def read_blocks(
    path: Path,
    *,
    text: Collection[str] = (),
    needed: Collection[str] | None = None,
    copied: str = "",
) -> Iterator[tuple[Table, list[str]]]:
    """Yield a table's rows in blocks, each with the fields of the copied column.

    If no columns are named, the first line of a CSV file may be a row: then it has
    numbers, and the columns are called 1, 2, …

    text: as for `read_table`
    needed: names of the columns to read, all of which must exist; None: all but the
        copied one
    copied: the name of a column whose fields are yielded unchanged with each table

    Raises:
        InputError: as for `read_table`, when the block with the fault is read
    """
    read = _module(path).read_blocks
    yield from read(path, text=text, needed=needed, copied=copied)


def _module(path: Path) -> Any:
    """Return the module that reads files of this kind."""
    suffix = path.suffix.lower()
    if suffix not in KINDS:
        refuse_packed(path)
        raise InputError(f"{path}: not a table: give one of {', '.join(KINDS)}")
    return _MODULES[suffix]
