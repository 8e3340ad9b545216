"""The common form of reports: rows, as in JSON, and columns to show them in."""

import math
from collections.abc import Sequence
from statistics import median
from typing import Any, NamedTuple, TypeAlias

# An object for JSON; None stands for what was not measured. If "no_speed_because" has
# text, the row has no speed.
Row: TypeAlias = dict[str, Any]
# A heading, its value's name in a row, and its format.
Columns: TypeAlias = Sequence[tuple[str, str, str]]
# Headings of the columns that a narrow terminal leaves out, the first one first.
LESSER = "100 steps", "float64", "range", "of peak", "accuracy"


class Table(NamedTuple):
    """Results that were measured in turn; the first columns say what a row is about."""

    title: str
    columns: Columns
    rows: list[Row]

    def cells(self) -> list[list[str]]:
        """Return the rows that have a speed."""
        return [
            [
                "–" if row[name] is None else form.format(row[name]).replace("%", " %")
                for _, name, form in self.columns
            ]
            for row in self.rows
            if not row["no_speed_because"]
        ]

    def narrowed(self, room: int) -> "Table":
        """Return the table without lesser columns, to fit into `room` if possible."""
        table = self
        for heading in LESSER:
            if table.width() <= room:
                break
            columns = [column for column in table.columns if column[0] != heading]
            table = table._replace(columns=columns)
        return table

    def width(self) -> int:
        """Return how many letters a line has, with a space between two columns."""
        lines = [[heading for heading, _, _ in self.columns], *self.cells()]
        widest = (max(map(len, column)) for column in zip(*lines, strict=True))
        return sum(widest) + len(self.columns) - 1

    def without_speed(self) -> list[str]:
        """Return a line for each row without a speed."""
        names = [name for _, name, form in self.columns if form == "{}"]
        return [
            f"{', '.join(row[n] for n in names)}: no speed, {row['no_speed_because']}"
            for row in self.rows
            if row["no_speed_because"]
        ]


class Report(NamedTuple):
    """What a command measured.

    facts: what JSON has besides the rows
    legend: what the columns mean
    drawn: whether there is a picture of it
    """

    tables: list[Table]
    facts: dict[str, Any]
    legend: str
    drawn: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return one object; numbers that JSON lacks, NaN and infinities, are null."""
        rows = [
            {name: _finite(value) for name, value in row.items()}
            for table in self.tables
            for row in table.rows
        ]
        return {"rows": rows} | self.facts


def _finite(value: Any) -> Any:
    return value if not isinstance(value, float) or math.isfinite(value) else None


def times(seconds: Sequence[float], middle: str, ends: str, scale: float = 1.0) -> Row:
    """Return the median under one name, the shortest and the longest under another."""
    if not seconds:
        return {middle: None, ends: None}
    return {
        middle: scale * median(seconds),
        ends: [scale * min(seconds), scale * max(seconds)],
    }


def fastest_first(rows: list[Row], name: str) -> list[Row]:
    """Return the rows sorted by the time of this name; those without it come last."""
    return sorted(rows, key=lambda row: math.inf if row[name] is None else row[name])
