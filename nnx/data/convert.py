"""Converting a table of numbers in CSV or Parquet to an .npy file that can be mapped.

The table is read twice, in blocks: to find the type of each column, and to write it.
"""

from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from nnx import files
from nnx.data.columns import numbers
from nnx.data.dataset import Array
from nnx.data.npy import MAX_HEADER, NUMPYS_HEADER, mapped
from nnx.data.read_table import read_blocks
from nnx.data.tabular import Table, label_columns
from nnx.errors import InputError

# A column gets the first of these types that represents all its numbers exactly.
TYPES = "u1", "<f4", "<f8"


def convert(source: Path, out: Path, drop: Collection[str] = ()) -> tuple[int, int]:
    """Write a table as an .npy file with its columns' names; return rows and columns.

    Only whole numbers beyond 2⁵³ are rounded, to the nearest float64. If a column is
    called label, the others are pixels and share one type.

    drop: names of columns to leave out

    Raises:
        InputError: source is not a table, a column has text, or out has another suffix
    """
    if source.suffix.lower() == ".npy":
        raise InputError(
            f"{source}: is already an .npy file: give a CSV or Parquet file"
        )
    if out.suffix.lower() != ".npy":
        raise InputError(f"{out}: the name of the file to write must end in .npy")
    names, kinds, rows = _survey(source, drop)
    descr = [(name, TYPES[kind]) for name, kind in zip(names, kinds, strict=True)]
    labels = label_columns(names)
    if labels and labels[0] != len(names) - 1:
        # Adjacent pixels form pictures that can be used in place.
        descr.insert(0, descr.pop(labels[0]))
    header, dtype = _header(descr, rows), np.dtype(descr)
    with files.replaced(out, f"{rows:,} rows") as file:
        file.write(header)
        for _, table, values in _blocks(source, drop):
            block = np.empty(len(values), dtype)
            for name, column in zip(table.names, values.T, strict=True):
                block[name] = column
            file.write(block.data)
    return rows, len(names)


def numpy_load(path: Path) -> str:
    """Return the call by which NumPy opens a file that `convert` has written."""
    is_long = mapped(path).offset > NUMPYS_HEADER
    more = ", max_header_size=2**20" if is_long else ""
    return f"numpy.load({str(path)!r}, mmap_mode='r'{more})"


def _survey(source: Path, drop: Collection[str]) -> tuple[list[str], list[int], int]:
    """Return the columns' names, their types' indices, and the number of rows."""
    rows, names, kinds = 0, list[str](), np.zeros(0, np.int64)
    for first, table, values in _blocks(source, drop):
        here = _kinds(values)
        if not first:
            names, kinds = list(table.names), np.zeros_like(here)
        kinds, rows = np.maximum(kinds, here), first + len(values)
    if labels := label_columns(names):
        pixels = np.arange(len(names)) != labels[0]
        kinds[pixels] = kinds[pixels].max(initial=0)
    return names, kinds.tolist(), rows


def _kinds(values: Array) -> Array:
    """Return the index in `TYPES` of each column's type, (columns,)."""
    with np.errstate(over="ignore"):
        short = (values == values.astype(np.float32)) | np.isnan(values)
    in_bytes = (values >= 0) & (values <= 255) & (values == np.rint(values))
    return np.where(in_bytes.all(axis=0), 0, np.where(short.all(axis=0), 1, 2))


def _blocks(source: Path, drop: Collection[str]) -> Iterator[tuple[int, Table, Array]]:
    """Yield for each block of a table the number of its first row, and its content.

    The content is a `Table`, and its numbers, (rows, columns) float64.
    """
    first, left_out = 0, set(drop)
    for table, _ in read_blocks(source):
        if not first and (unknown := left_out - {*table.names}):
            raise InputError(f"{source}: no column is called {min(unknown)!r}")
        columns = [i for i, name in enumerate(table.names) if name not in left_out]
        if not columns:
            raise InputError(f"{source}: no column is left")
        names = tuple(table.names[i] for i in columns)
        values = np.array([_numbers(table, i) for i in columns]).T
        yield first, table._replace(names=names), values
        first += len(values)


def _numbers(table: Table, i: int) -> Array:
    """Return a column's numbers; refuse text."""
    try:
        return numbers(table, i, np.arange(table.rows))
    except InputError as error:
        raise InputError(f"{error}; --drop leaves a column out") from None


def _header(descr: list[tuple[str, str]], rows: int) -> bytes:
    """Return an .npy file's header; names of columns are escaped to ASCII."""
    about = {"descr": descr, "fortran_order": False, "shape": (rows,)}
    text = ascii(about).encode()
    long = len(text) > 65_000
    begins = 12 if long else 10
    text += b" " * (-(begins + len(text) + 1) % 64) + b"\n"
    if len(text) > MAX_HEADER:
        raise InputError(f"{len(descr):,} columns: their names do not fit in an .npy")
    version, width = (2, 4) if long else (1, 2)
    length = len(text).to_bytes(width, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + length + text
