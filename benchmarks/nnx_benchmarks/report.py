"""The one form of report. No speed is in it without agreement."""

import math
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, NamedTuple


class Row(NamedTuple):
    """One thing measured.

    cells: of the table
    record: for JSON; what was not measured is null
    no_speed_because: why it is not in the table; "" where it is
    """

    name: str
    cells: list[str]
    record: dict[str, Any]
    no_speed_because: str = ""


class Table(NamedTuple):
    """What was measured in turn."""

    title: str
    columns: list[str]
    rows: list[Row]

    @property
    def cells(self) -> list[list[str]]:
        """The cells of each row with a speed."""
        return [row.cells for row in self.rows if not row.no_speed_because]

    @property
    def without_speed(self) -> list[str]:
        """A line for each of the others."""
        return [
            f"{row.name}: no speed, {row.no_speed_because}"
            for row in self.rows
            if row.no_speed_because
        ]


class Report(NamedTuple):
    """What a command measured.

    facts: what JSON says beside the rows
    legend: what the columns mean, in lines
    picture: draws a PNG, given the machine in a line
    """

    tables: list[Table]
    facts: dict[str, Any]
    legend: tuple[str, ...] = ()
    picture: Callable[[str], bytes] | None = None

    def as_json(self) -> dict[str, Any]:
        """Return an object with all rows and the facts."""
        rows = [
            row.record | {"no_speed_because": row.no_speed_because or None}
            for table in self.tables
            for row in table.rows
        ]
        return {"rows": rows} | self.facts


def epoch_cells(seconds: Sequence[float]) -> list[str]:
    """Return the median of some epochs' milliseconds, and their range."""
    if not seconds:
        return []
    low, middle, high = (1e3 * f(seconds) for f in (min, median, max))
    return [f"{middle:.1f}", f"{low:.1f}–{high:.1f}"]


def epoch_record(seconds: Sequence[float]) -> dict[str, Any]:
    """Return the same for JSON."""
    return {
        "ms_per_epoch": 1e3 * median(seconds) if seconds else None,
        "ms_range": [1e3 * f(seconds) for f in (min, max)] if seconds else None,
    }


def error_cell(error: float | None) -> str:
    """Return a relative error for a table."""
    return "–" if error is None else f"{error:.1e}"


def finite(number: float | None) -> float | None:
    """Return a number that JSON has a word for, or None."""
    return number if number is not None and math.isfinite(number) else None
