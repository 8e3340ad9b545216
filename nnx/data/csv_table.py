"""A CSV file as named columns of numbers or text.

Accepted: commas, semicolons or tabs; quotes, also around line ends; a byte-order mark;
any line ending. The first line names the columns. A 10⁶-line file takes seconds: what
is a number is found out by trying, a block of lines at a time.
"""

import csv
from collections.abc import Collection, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from nnx.data.dataset import Array
from nnx.data.limits import MAX_UNPACKED
from nnx.data.tabular import Table, Text, Values, number, text_column, wanted
from nnx.errors import InputError
from nnx.files import readable

MAX_COLUMNS = 100_000
_LONGEST_LINE = 1 << 24
_BLOCK = 1 << 18  # fields
_BLOCK_TEXT = 1 << 24  # characters
_MAX_TEXT = 1 << 28  # characters, of a column's different texts
_ENCODING = "utf-8-sig"  # UTF-8, with or without a byte-order mark


def read(
    path: Path,
    *,
    text: Collection[str] = (),
    only: Collection[str] | None = None,
    without: Collection[str] = (),
) -> Table:
    """Return a CSV file's columns; those that hold nothing but numbers as such.

    Arguments as for `nnx.data.read_table.read_table`

    Raises:
        InputError: no rows, rows of another length than the first line, names that
            come twice, quotes that are not closed, what is no text in UTF-8
    """
    with readable(path):
        try:
            return _read(path, text, only, without)
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: not UTF-8 text ({error.reason})") from None


def _read(
    path: Path,
    text: Collection[str],
    only: Collection[str] | None,
    without: Collection[str],
) -> Table:
    delimiter, header = _header(path)
    places = wanted(str(path), header, only, without)
    kinds = {i: header[i] in text for i in places}
    readings = _parse(path, delimiter, len(header), kinds)
    # A number comes first, and text much later: only a second reading has all as text.
    late = {i: True for i, reading in readings.items() if reading.late}
    if late:
        readings |= _parse(path, delimiter, len(header), late)
    values = [readings[i].values(keep_text=header[i] in text) for i in places]
    if values and not _length(values[0]):
        raise InputError(f"{path}: no rows: only a header line")
    unnamed = [
        f"column {i + 1} has no name: left out" for i, n in enumerate(header) if not n
    ]
    notes = tuple(unnamed[:3])
    place = partial(_place, path, delimiter, header, places)
    return Table(
        str(path), tuple(header[i] for i in places), tuple(values), place, notes
    )


def _length(values: Values) -> int:
    return len(values.codes if isinstance(values, Text) else values)


def _header(path: Path) -> tuple[str, list[str]]:
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


def _blocks(path: Path, delimiter: str, width: int) -> Iterator[list[list[str]]]:
    """Yield the rows under the header, each of the header's width, in blocks."""
    most, taken, block = max(1, _BLOCK // width), [0], list[list[str]]()
    with open(path, encoding=_ENCODING, newline="") as file:
        rows = _reader(_lines(file, path, taken), delimiter)
        try:
            next(row for row in rows if not _is_blank(row, 2))
            for row in rows:
                if len(row) != width:
                    if _is_blank(row, width):
                        continue
                    break
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


def _place(
    path: Path,
    delimiter: str,
    header: list[str],
    places: list[int],
    row: int,
    column: int,
) -> str:
    rows = (
        at
        for at, fields in _numbered(path, delimiter)
        if not _is_blank(fields, len(header))
    )
    with readable(path):
        line = next(islice(rows, row + 1, None))
    return f"{path}, line {line}, column {header[places[column]][:40]!r}"


class _Reading:
    """A column as it is read, block by block: of numbers, until one is text."""

    def __init__(self, is_text: bool) -> None:
        self.late = False
        self._is_text = is_text
        self._parts: list[Array] = []
        self._known: dict[str, int] = {}
        self._characters = 0

    def add(self, fields: tuple[str, ...]) -> int:
        """Take a block's fields; return how many characters of text there are."""
        if not self._is_text:
            try:
                self._parts.append(_numbers(fields))
                return 0
            except ValueError:
                self._is_text, self.late = True, bool(self._parts)
                if self.late:
                    self._parts = []
        if self.late:
            return 0
        known, before = self._known, len(self._known)
        codes = [known.setdefault(field.strip(), len(known)) for field in fields]
        self._parts.append(np.array(codes, np.int32))
        self._characters += sum(map(len, islice(known, before, None)))
        return self._characters

    def values(self, keep_text: bool) -> Values:
        """Return the column; as numbers if all of it is numbers, or empty."""
        whole = np.concatenate(self._parts) if self._parts else np.empty(0)
        if not self._is_text:
            return whole
        if not keep_text:
            numbers = [number(field) for field in self._known]
            if None not in numbers:
                return np.array(numbers, np.float64)[whole]
        return text_column(list(self._known), whole)


def _numbers(fields: tuple[str, ...]) -> Array:
    """Return fields as numbers; ValueError where one is text or empty."""
    joined = "".join(fields)
    if "_" in joined or not joined.isascii():
        raise ValueError
    return np.fromiter(map(float, fields), np.float64, len(fields))


def _parse(
    path: Path, delimiter: str, width: int, kinds: dict[int, bool]
) -> dict[int, _Reading]:
    """Return the columns of these places; True is for one that is text."""
    readings = {i: _Reading(is_text) for i, is_text in kinds.items()}
    size = 0
    for block in _blocks(path, delimiter, width):
        size += 8 * len(block) * len(kinds)
        if size > MAX_UNPACKED:
            raise InputError(
                f"{path}: over {MAX_UNPACKED >> 30} GiB as numbers, more than is read"
            )
        fields = list(zip(*block, strict=True))
        for i, reading in readings.items():
            if fields and reading.add(fields[i]) > _MAX_TEXT:
                raise InputError(
                    f"{path}, column {i + 1}: over {_MAX_TEXT >> 20} million "
                    "characters of text, more than are read: leave it out"
                )
    return readings
