"""A CSV file as numbers: NumPy parses it, and this module finds the place of a fault.

Accepted: commas, semicolons or tabs; quotes; a byte-order mark; any line ending; with
or without a header line.
"""

import csv
import warnings
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from nnx.data.csv_rows import (
    ENCODING,
    LONGEST_LINE,
    is_header,
    longest_line,
    readable_text,
)
from nnx.data.dataset import Array, RawArray
from nnx.data.tabular import NoPicturesError, written_number
from nnx.errors import InputError, first_line
from nnx.files import readable


def read(path: Path) -> tuple[list[str], RawArray]:
    """Return the names in a CSV file's header line, if there is one, and its numbers.

    returns: names (columns,), numbers (rows, columns) float32, which may be NaN or
        infinite; places are given as file, line and column, counted from 1

    Raises:
        InputError: there are no lines of numbers, lines have different lengths, or a
            field is not a number
    """
    with readable_text(path):
        return _read(path)


def _read(path: Path) -> tuple[list[str], RawArray]:
    number, line = next(_numbered(path, 1), (1, ""))
    if not line:
        raise InputError(f"{path}: no samples: the file is empty")
    if len(line) == LONGEST_LINE:
        raise InputError(f"{path}, line {number}: too long for a table of numbers")
    longest_line(path)
    delimiter = max(",;\t", key=line.count)
    fields = _fields(line, delimiter)
    header = fields if is_header(fields) else []
    first = number + 1 if header else number
    try:
        values = _numbers(path, first, delimiter)
    except InputError:
        raise
    except ValueError as error:  # text that is not UTF-8 fails again in `_explain`
        _explain(path, first, delimiter, len(fields))
        reason = first_line(error)
        raise InputError(f"{path}: not a table of numbers: {reason}") from None
    if not len(values):
        raise InputError(f"{path}: no samples: only a header line")
    if values.shape[1] != len(fields):
        _explain(path, first, delimiter, len(fields))
    return header, RawArray(values, str(path), partial(_place, path, first))


def _place(path: Path, first: int, row: int, column: int) -> str:
    with readable(path):
        number, _ = next(islice(_numbered(path, first), row, None))
    return f"{path}, line {number}, column {column + 1}"


def _numbers(path: Path, first: int, delimiter: str) -> Array:
    with open(path, encoding=ENCODING) as file, warnings.catch_warnings():
        # No rows and too large numbers cause warnings here, and errors later.
        warnings.simplefilter("ignore")
        return np.loadtxt(
            file,
            np.float32,
            comments=None,
            delimiter=delimiter,
            quotechar='"',
            skiprows=first - 1,
            ndmin=2,
        )


def _numbered(path: Path, first: int) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not empty, with their numbers, from line `first` on."""
    with open(path, encoding=ENCODING) as file:
        lines = iter(lambda: file.readline(LONGEST_LINE), "")
        for number, line in enumerate(lines, 1):
            if number >= first and line != "\n":
                yield number, line


def _fields(line: str, delimiter: str) -> list[str]:
    try:
        return [f.strip() for f in next(csv.reader([line], delimiter=delimiter), [""])]
    except csv.Error:
        return [f.strip() for f in line.split(delimiter)]


def _is_number(field: str) -> bool:
    return written_number(field) is not None


def _explain(path: Path, first: int, delimiter: str, columns: int) -> None:
    """Refuse the first line that does not have one number per column."""
    for number, line in _numbered(path, first):
        fields = _fields(line, delimiter)
        place = f"{path}, line {number}"
        if len(fields) != columns:
            raise InputError(
                f"{place}: {len(fields)} columns, but the first line has {columns}"
            )
        for column, field in enumerate(fields, 1):
            if not field:
                raise NoPicturesError(f"{place}, column {column}: empty field")
            if not _is_number(field):
                text = ascii(field[:40])
                raise NoPicturesError(
                    f"{place}, column {column}: {text} is not a number"
                )
