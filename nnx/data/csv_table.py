"""A CSV file as named columns of numbers or text.

The first line names the columns. To read a 10⁶-line file within seconds, a whole block
of fields is parsed as numbers, and as text if that fails.
"""

from collections.abc import Collection, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from nnx.data.csv_rows import CsvFile, examined, numbers, readable_text
from nnx.data.dataset import Array
from nnx.data.limits import MAX_COLUMNS, refuse_larger
from nnx.data.tabular import (
    Table,
    Values,
    is_code,
    length,
    number,
    text_column,
    wanted,
    wanted_in_blocks,
)
from nnx.errors import InputError

_MAX_TEXT = 1 << 28  # characters in a column's different texts


def read(
    path: Path,
    *,
    text: Collection[str] = (),
    only: Collection[str] | None = None,
    without: Collection[str] = (),
    codes: Collection[str] = (),
) -> Table:
    """Return a CSV file's columns, as numbers if all their fields are.

    Arguments as for `nnx.data.read_table.read_table`.

    Raises:
        InputError: there are no rows; a row is not as wide as the first line; a name
            occurs twice; a quote is not closed; the text is not UTF-8
    """
    with readable_text(path):
        file = _opened(path, named=True)
        header = file.names
        indices = wanted(str(path), header, only, without)
        kinds = {i: header[i] in text for i in indices}
        named = {i for i in indices if header[i] in codes}
        readings = _parse(file, kinds, named)
        # If text follows blocks of numbers, the column must be read again as text.
        late = {i: True for i, reading in readings.items() if reading.late}
        if late:
            readings |= _parse(file, late, named)
        values = [readings[i].values(keep_text=header[i] in text) for i in indices]
        if values and not length(values[0]):
            raise InputError(f"{path}: no rows: only a header line")
        unnamed = [i + 1 for i, name in enumerate(header) if not name]
        notes = tuple(f"column {i} has no name: left out" for i in unnamed[:3])
        place = partial(_place, file, indices, 0)
        return Table(
            str(path), tuple(header[i] for i in indices), tuple(values), place, notes
        )


def read_blocks(
    path: Path,
    *,
    text: Collection[str] = (),
    needed: Collection[str] | None = None,
    copied: str = "",
) -> Iterator[tuple[Table, list[str]]]:
    """Yield a CSV file's rows in blocks, each with the fields of the copied column.

    Arguments as for `nnx.data.read_table.read_blocks`.
    """
    with readable_text(path):
        file = _opened(path, named=needed is not None or bool(copied) or None)
        header = file.names
        indices, first = wanted_in_blocks(str(path), header, needed, copied), 0
        names = tuple(header[i] for i in indices)

        def table(values: Iterable[Values]) -> Table:
            place = partial(_place, file, indices, first)
            return Table(str(path), names, tuple(values), place)

        in_numbers = len(indices) == len(header) and not text and not copied
        for block in file.blocks(() if in_numbers else None):
            if isinstance(block, np.ndarray):
                yield table(block.T), []
            else:
                fields, values = list(zip(*block, strict=True)), []
                for i in indices:
                    reading = _Reading(header[i] in text)
                    reading.add(fields[i])
                    values.append(reading.values(keep_text=header[i] in text))
                ids = list(fields[header.index(copied)]) if copied else []
                yield table(values), ids
            first += len(block)
        if not first:
            raise InputError(f"{path}: no rows: only a header line")


def _opened(path: Path, named: bool | None) -> CsvFile:
    """Examine a CSV file; refuse one that is empty or has too many columns."""
    file = examined(path, named)
    if not file.names:
        raise InputError(f"{path}: no rows: the file is empty")
    if len(file.names) > MAX_COLUMNS:
        raise InputError(
            f"{path}, line {file.line_of(0)}: {len(file.names):,} columns; at most "
            f"{MAX_COLUMNS:,}"
        )
    return file


def _place(file: CsvFile, indices: list[int], first: int, row: int, column: int) -> str:
    """Return the place of a field; row 0 is row `first` below the header."""
    line, name = file.line_of(file.named + first + row), file.names[indices[column]]
    return f"{file.path}, line {line}, column {name[:40]!r}"


class _Reading:
    """A column being read block by block: as numbers, until a field is text."""

    def __init__(self, is_text: bool, with_codes: bool = False) -> None:
        self.late = False
        self._is_text, self._with_codes = is_text, with_codes
        self._parts: list[Array] = []
        self._known: dict[str, int] = {}
        self._characters = 0

    def add(self, fields: tuple[str, ...]) -> int:
        """Add a block's fields; return the number of characters of text so far."""
        if not self._is_text:
            try:
                if self._with_codes and any(map(is_code, fields)):
                    raise ValueError
                self._parts.append(numbers(fields))
                return 0
            except ValueError:
                self._is_text, self.late = True, bool(self._parts)
                self._parts = []
        if self.late:
            return 0
        known, before = self._known, len(self._known)
        codes = [known.setdefault(field.strip(), len(known)) for field in fields]
        self._parts.append(np.array(codes, np.int32))
        self._characters += sum(map(len, islice(known, before, None)))
        return self._characters

    def add_numbers(self, numbers: Array) -> None:
        """Add a block's numbers; valid until there is text."""
        self._parts.append(numbers)

    def values(self, keep_text: bool) -> Values:
        """Return the column, as numbers if all fields are numbers or empty."""
        whole = np.concatenate(self._parts) if self._parts else np.empty(0)
        if not self._is_text:
            return whole
        if not keep_text:
            known = [number(field) for field in self._known]
            are_names = self._with_codes and any(map(is_code, self._known))
            if None not in known and not are_names:
                return np.array(known, np.float64)[whole]
        return text_column(list(self._known), whole)


def _parse(
    file: CsvFile, kinds: dict[int, bool], codes: set[int]
) -> dict[int, _Reading]:
    """Read columns.

    kinds: indices of the columns; True: read as text
    codes: indices of the columns that are text if a number in them is a code
    """
    readings = {i: _Reading(is_text, i in codes) for i, is_text in kinds.items()}
    in_numbers = len(kinds) == len(file.names) and not any(kinds.values())
    rows = 0
    for block in file.blocks(codes if in_numbers else None):
        rows += len(block)
        refuse_larger(file.path, 8 * rows * len(kinds))
        if isinstance(block, np.ndarray):
            for i, reading in readings.items():
                reading.add_numbers(block[:, i].copy())
            continue
        fields = list(zip(*block, strict=True))
        for i, reading in readings.items():
            if reading.add(fields[i]) > _MAX_TEXT:
                raise InputError(
                    f"{file.path}, column {i + 1}: over {_MAX_TEXT >> 20} million "
                    "characters of text, the most that is read: leave it out "
                    "with drop"
                )
    return readings
