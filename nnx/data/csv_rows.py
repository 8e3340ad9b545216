"""A CSV file as rows of numbers or of fields, in blocks, and the lines they are in.

Accepted: commas, semicolons or tabs; quotes, also around line ends; a byte-order mark;
any line ending. Lines that are empty or have only spaces are not rows; but in a file
with one column, spaces or "" below the first row are an empty field.
"""

import csv
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nnx.data.csv_integers import integers
from nnx.data.dataset import Array
from nnx.data.tabular import is_code, label_columns, written_number
from nnx.errors import InputError
from nnx.files import readable

LONGEST_LINE = 1 << 24  # bytes
# A block has _BLOCK fields, but at least _FEWEST rows: reading is twice as fast if a
# block fits the cache.
_FEWEST, _BLOCK = 128, 1 << 12
_BLOCK_TEXT = 1 << 26  # bytes
_CHUNK = 1 << 22  # bytes
ENCODING = "utf-8-sig"  # UTF-8, with or without a byte-order mark


@contextmanager
def readable_text(path: Path) -> Iterator[None]:
    """Refuse a file that cannot be read, or whose text is not UTF-8, as `readable`."""
    with readable(path):
        try:
            yield
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}: not UTF-8 text ({error.reason}): save it as UTF-8, which "
                "Excel calls CSV UTF-8"
            ) from None


class CsvFile(NamedTuple):
    """A CSV file, and what is known before its rows are read.

    delimiter: the character between fields
    names: of the columns, or 1, 2, … if the first line is a row; empty if no line is
    named: whether the first line names the columns
    longest: length of the longest line, in bytes
    """

    path: Path
    delimiter: str
    names: list[str]
    named: bool
    longest: int

    def blocks(self, codes: Collection[int] | None = None) -> Iterator[Any]:
        """Yield the rows below the header in blocks, as numbers or as lists of fields.

        A block of numbers is (n, width) float64; NumPy parses it in less than half the
        time that fields take. From the first block on that has other fields, all are
        lists of fields, each as wide as the first line.

        codes: indices of the columns in which a code is not a number; None: yield no
            numbers
        """
        done = 0
        if codes is not None:
            for block in self._number_blocks(codes):
                if block is None:
                    break
                yield block
                done += len(block)
            else:
                return
        yield from self._field_blocks(done)

    def _field_blocks(self, skipped: int) -> Iterator[list[list[str]]]:
        """Yield the rows as fields, without the first `skipped` rows."""
        width = len(self.names)
        with open(self.path, encoding=ENCODING, newline="") as file:
            rows = _reader(file, self.delimiter)
            try:
                first = next(row for row in rows if not _is_blank(row, 2))
                rows = rows if self.named else chain([first], rows)
                while block := list(islice(rows, self._most())):
                    if set(map(len, block)) != {width}:
                        block = [row for row in block if not _is_blank(row, width)]
                        if any(len(row) != width for row in block):
                            break
                    left, skipped = block[skipped:], max(0, skipped - len(block))
                    if left:
                        yield left
                else:
                    return
            except csv.Error:
                pass
        self._explain()

    def _number_blocks(self, codes: Collection[int]) -> Iterator[Array | None]:
        """Yield blocks of numbers; last None if a block has other fields."""
        width = len(self.names)
        with open(self.path, encoding=ENCODING, newline="") as file:
            blank = "\r\n" if width == 1 else " \r\n"
            lines = (line for line in file if line.strip(blank))
            if self.named and next(lines).count('"') % 2:
                yield None  # the header continues on the next line
                return
            whole = True  # as long as all blocks have only whole numbers
            while block := list(islice(lines, self._most())):
                values = integers(block, width, self.delimiter) if whole else None
                whole = values is not None
                if values is None:
                    values = self._floats(block, codes)
                if values is None:
                    yield None
                    return
                yield values

    def _floats(self, lines: Sequence[str], codes: Collection[int]) -> Array | None:
        """Return the numbers of lines, (lines, width) float64; None if not all are."""
        reading: dict[Any, Any] = dict.fromkeys(codes, _no_code)
        with suppress(ValueError):
            values = np.loadtxt(
                lines,
                comments=None,
                delimiter=self.delimiter,
                ndmin=2,
                converters=reading,
            )
            if values.shape == (len(lines), len(self.names)):
                return values
        return None

    def line_of(self, row: int) -> int:
        """Return the number of the line that a row begins in; row 0 may be a header."""
        rows = _numbered(self.path, self.delimiter, len(self.names))
        with readable(self.path):
            line, _ = next(islice(rows, row, None))
        return line

    def _most(self) -> int:
        """Return the number of rows per block."""
        rows = max(_FEWEST, _BLOCK // len(self.names))
        return max(1, min(rows, _BLOCK_TEXT // max(1, self.longest)))

    def _explain(self) -> None:
        """Refuse the first row that is not as wide as the first line."""
        width = len(self.names)
        for line, row in _numbered(self.path, self.delimiter, width):
            if len(row) != width:
                raise InputError(
                    f"{self.path}, line {line}: {len(row):,} columns, but the first "
                    f"line has {width:,}"
                )


def examined(path: Path, named: bool | None = None) -> CsvFile:
    """Return the properties of a CSV file that are needed to read its rows.

    named: whether the first line names the columns; None: decide by its fields

    Raises:
        InputError: NUL bytes, a line that is too long, an open quote in the first row
    """
    with open(path, encoding=ENCODING, newline="") as file:
        lines = iter(partial(file.readline, LONGEST_LINE), "")
        first = next((line for line in lines if line.strip()), "")
    longest = _longest_line(path)
    delimiter = max(",;\t", key=first.count)
    _, fields = next(_numbered(path, delimiter), (1, []))
    names = [field.strip() for field in fields]
    named = _is_header(names) if named is None else named
    if not named:
        names = [str(i) for i in range(1, len(names) + 1)]
    return CsvFile(path, delimiter, names, named, longest)


def numbers(fields: Sequence[str]) -> Array:
    """Return fields as numbers, (n,) float64; ValueError if one is text or empty."""
    joined = "".join(fields)
    if "_" in joined or not joined.isascii():
        raise ValueError
    return np.fromiter(map(float, fields), np.float64, len(fields))


def _is_header(fields: list[str]) -> bool:
    """Return whether a first line names columns.

    It does if one field is "label" or none is a number; or if the fields are 0, 1, 2,
    …, which pandas writes above columns without names.
    """
    named = any(fields) and all(written_number(field) is None for field in fields)
    counted = len(fields) > 2 and fields == [str(i) for i in range(len(fields))]
    return named or counted or bool(label_columns(fields))


def _longest_line(path: Path) -> int:
    """Return the length of the longest line, in bytes.

    Knowing it, rows are read without checking the length of each line.

    Raises:
        InputError: the file has NUL bytes, or a line longer than `LONGEST_LINE`
    """
    longest, since, lines = 0, 0, 1
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            # Lines may end with a carriage return only.
            mark = b"\n" if b"\n" in chunk else b"\r"
            ends = np.flatnonzero(np.frombuffer(chunk, np.uint8) == mark[0])
            nul = chunk.find(b"\0")
            if nul >= 0:
                at = lines + int((ends < nul).sum())
                raise InputError(f"{path}, line {at}: not text: it has NUL bytes")
            gaps = np.diff(ends, prepend=-1 - since)
            longest = max(longest, int(gaps.max(initial=0)))
            since = len(chunk) - 1 - int(ends[-1]) if len(ends) else since + len(chunk)
            lines += len(ends)
            if max(longest, since) > LONGEST_LINE:
                raise InputError(f"{path}: a line is too long for a row of a table")
    return max(longest, since)


def _reader(lines: Iterator[str], delimiter: str) -> Any:
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)


def _is_blank(row: list[str], width: int) -> bool:
    """Return whether a line is not a row; width: 2 until the first row is found."""
    return not row or (len(row) == 1 and width > 1 and not row[0].strip())


def _no_code(field: str) -> float:
    value = None if is_code(field) else written_number(field)
    if value is None:
        raise ValueError
    return value


def _numbered(
    path: Path, delimiter: str, width: int = 2
) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not blank, with the numbers of their first lines.

    width: of the rows below the first
    """
    with open(path, encoding=ENCODING, newline="") as file:
        rows = _reader(file, delimiter)
        begins, known = 1, 2
        try:
            for row in rows:
                if not _is_blank(row, known):
                    yield begins, row
                    known = width
                begins = rows.line_num + 1
        except csv.Error:
            raise InputError(
                f"{path}, line {begins}: a quote in this row is not closed, or not "
                f"doubled, or a field has over {csv.field_size_limit():,} characters"
            ) from None
