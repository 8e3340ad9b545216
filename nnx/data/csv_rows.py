"""A CSV file as rows of fields, in blocks, and where a field stands.

Accepted: commas, semicolons or tabs; quotes, also around line ends; a byte-order mark;
any line ending.
"""

import csv
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from nnx.data.dataset import Array
from nnx.errors import InputError
from nnx.files import readable

MAX_COLUMNS = 100_000
_LONGEST_LINE = 1 << 24
_BLOCK = 1 << 18  # fields
_BLOCK_TEXT = 1 << 24  # characters
_ENCODING = "utf-8-sig"  # UTF-8, with or without a byte-order mark


def header_of(path: Path) -> tuple[str, list[str]]:
    """Return what stands between fields, and the first line's names."""
    with open(path, encoding=_ENCODING, newline="") as file:
        first = next((line for line in _lines(file, path, [0]) if line.strip()), "")
    if not first:
        raise InputError(f"{path}: no rows: the file is empty")
    delimiter = max(",;\t", key=first.count)
    number, fields = next(_numbered(path, delimiter))
    if len(fields) > MAX_COLUMNS:
        raise InputError(
            f"{path}, line {number}: {len(fields):,} columns; at most {MAX_COLUMNS:,}"
        )
    return delimiter, [field.strip() for field in fields]


def _lines(file: Any, path: Path, taken: list[int]) -> Iterator[str]:
    """Yield a file's lines, none of them endless; `taken` counts their characters."""
    for at, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE), ""), 1):
        if "\0" in line:
            raise InputError(f"{path}, line {at}: not text: it has NUL bytes")
        if len(line) == _LONGEST_LINE:
            raise InputError(f"{path}, line {at}: too long for a row of a table")
        taken[0] += len(line)
        yield line


def _reader(lines: Iterator[str], delimiter: str) -> Any:
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)


def _is_blank(row: list[str], width: int) -> bool:
    return not row or (len(row) == 1 and width > 1 and not row[0].strip())


def blocks(
    path: Path, delimiter: str, width: int, named: bool = True, skipped: int = 0
) -> Iterator[list[list[str]]]:
    """Yield the rows under the header, each of the header's width, in blocks.

    named: whether there is a header
    skipped: rows that are left out at first
    """
    most, taken, block = max(1, _BLOCK // width), [0], list[list[str]]()
    with open(path, encoding=_ENCODING, newline="") as file:
        rows = _reader(_lines(file, path, taken), delimiter)
        try:
            if named:
                next(row for row in rows if not _is_blank(row, 2))
            for row in rows:
                if len(row) != width:
                    if _is_blank(row, width):
                        continue
                    break
                if skipped:
                    skipped -= 1
                    continue
                block.append(row)
                if len(block) == most or taken[0] > _BLOCK_TEXT:
                    yield block
                    block, taken[0] = [], 0
            else:
                yield block
                return
        except csv.Error:
            pass
    _explain(path, delimiter, width)


def number_blocks(
    path: Path, delimiter: str, width: int, named: bool
) -> Iterator[Array]:
    """Yield the rows' numbers, (n, width) float64, up to a block with anything else.

    NumPy parses them, in less than half of the time.

    named: whether there is a header
    """
    most, taken = max(1, _BLOCK // width), [0]
    with open(path, encoding=_ENCODING, newline="") as file:
        lines = (line for line in _lines(file, path, taken) if line.strip(" \r\n"))
        if named and next(lines).count('"') % 2:
            return  # the header goes on in another line
        while block := _some(lines, most, taken):
            try:
                values = np.loadtxt(block, comments=None, delimiter=delimiter, ndmin=2)
            except ValueError:
                return
            if values.shape != (len(block), width):
                return
            yield values


def _some(lines: Iterator[str], most: int, taken: list[int]) -> list[str]:
    """Return the next lines, as many as there are to be at once."""
    taken[0], some = 0, list[str]()
    for line in lines:
        some.append(line)
        if len(some) == most or taken[0] > _BLOCK_TEXT:
            break
    return some


def _explain(path: Path, delimiter: str, width: int) -> None:
    """Refuse the first row that is not as long as the header."""
    for at, row in _numbered(path, delimiter):
        if len(row) != width and not _is_blank(row, width):
            raise InputError(
                f"{path}, line {at}: {len(row):,} columns, but the first line has "
                f"{width:,}"
            )


def _numbered(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not blank, with the numbers of their first lines."""
    with open(path, encoding=_ENCODING, newline="") as file:
        rows = _reader(_lines(file, path, [0]), delimiter)
        begins = 1
        try:
            for row in rows:
                if not _is_blank(row, 2):
                    yield begins, row
                begins = rows.line_num + 1
        except csv.Error:
            raise InputError(
                f"{path}, line {begins}: a quote in this row is not closed, or not "
                f"doubled, or a field has over {csv.field_size_limit():,} characters"
            ) from None


def place_of(
    path: Path,
    delimiter: str,
    header: list[str],
    places: list[int],
    first: int,
    named: bool,
    row: int,
    column: int,
) -> str:
    """Return where a field stands; row 0 is the first-th under the names."""
    rows = (
        at
        for at, fields in _numbered(path, delimiter)
        if not _is_blank(fields, len(header))
    )
    with readable(path):
        line = next(islice(rows, first + row + named, None))
    return f"{path}, line {line}, column {header[places[column]][:40]!r}"
