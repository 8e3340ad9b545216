"""A table's file as named columns, whatever its kind."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from nnx.data import csv_table, npy, parquet_table
from nnx.data.tabular import Table
from nnx.errors import InputError

KINDS = ".csv", ".tsv", ".txt", ".parquet", ".npy"
_MODULES = {".parquet": parquet_table, ".npy": npy}


def read_table(
    path: Path,
    *,
    text: Collection[str] = (),
    only: Collection[str] | None = None,
    without: Collection[str] = (),
    codes: Collection[str] = (),
) -> Table:
    """Return a table's columns; those that hold nothing but numbers as such.

    text: names of columns that are text, even where all of their fields are numbers:
        those that were text in training
    only: names of the columns that are wanted; None is all that have a name
    without: names of columns to leave out
    codes: names of columns that are text too where a number in them is another text
        as a float, such as 007; of a CSV file alone, as others have numbers or text

    Raises:
        InputError: a file of another kind, or one that is no table
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
    """Yield a table's rows in tables of some thousand, and a column's own fields.

    Where no column is asked for, a CSV file's first line is a row if it has numbers in
    it, and the columns are called 1, 2, …

    text: as for `read_table`
    needed: names of the columns that are read, and must be there; None: all but the
        copied one
    copied: the name of a column whose fields come beside each table, as they stand

    Raises:
        InputError: as for `read_table`, when the block with the fault is asked for
    """
    read = _module(path).read_blocks
    yield from read(path, text=text, needed=needed, copied=copied)


def _module(path: Path) -> Any:
    """Return the module that reads files of this kind."""
    suffix = path.suffix.lower()
    if suffix not in KINDS:
        raise InputError(f"{path}: not a table: give one of {', '.join(KINDS)}")
    return _MODULES.get(suffix, csv_table)
