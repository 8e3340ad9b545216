"""Results as rows of a table and as JSON. No speed is in either without agreement."""

import math
from collections.abc import Sequence
from statistics import median
from typing import Any

from nnx_benchmarks.measure import Measured, Result

COLUMNS = [
    "implementation",
    "ms/epoch",
    "range",
    "images/s",
    "× floor",
    "error",
    "float64",
    "100 steps",
    "accuracy",
]
LEGEND = (
    "error: the largest relative error of the loss and every gradient of a first "
    "batch, in float32, and in float64 where it has that; 100 steps: of the weights "
    "after as many; all against NumPy in float64"
)


def table(result: Result) -> tuple[str, list[list[str]]]:
    """Return a title and the rows, fastest first; those without speed come last."""
    agreeing = sorted((r for r in result.rows if r.seconds), key=_seconds)
    floor = 1e3 * result.floor
    title = f"{result.key}: {result.workload}; matrix products alone {floor:.1f} ms"
    return title, [_cells(row, result) for row in agreeing]


def without_speed(result: Result) -> list[str]:
    """Return a line for each implementation that is not in the table."""
    return [
        f"{row.implementation}: no speed, {row.agreement.wrong}"
        for row in result.rows
        if not row.seconds
    ]


def as_json(result: Result) -> list[dict[str, Any]]:
    """Return an object for each implementation; what was not measured is null."""
    return [_object(row, result) for row in result.rows]


def _seconds(row: Measured) -> float:
    return median(row.seconds)


def _cells(row: Measured, result: Result) -> list[str]:
    spent, found = _seconds(row), row.agreement
    return [
        row.implementation,
        f"{1e3 * spent:.1f}",
        f"{1e3 * min(row.seconds):.1f}–{1e3 * max(row.seconds):.1f}",
        f"{result.images / spent:,.0f}",
        f"{spent / result.floor:.2f}",
        _error(found.first),
        _error(found.float64),
        _error(found.after_100),
        "–" if row.accuracy is None else f"{100 * row.accuracy:.2f} %",
    ]


def _error(error: float | None) -> str:
    return "–" if error is None else f"{error:.1e}"


def floors(results: Sequence[Result]) -> dict[str, dict[str, float]]:
    """Return ms of an epoch's matrix products, by workload, kernels and threads."""
    return {
        result.key: {how: 1e3 * median(t) for how, t in result.products.items()}
        for result in results
    }


def _object(row: Measured, result: Result) -> dict[str, Any]:
    found = row.agreement
    spent = _seconds(row) if row.seconds else None
    return {
        "workload": result.key,
        "implementation": row.implementation,
        "ms_per_epoch": None if spent is None else 1e3 * spent,
        "ms_range": [1e3 * f(row.seconds) for f in (min, max)] if spent else None,
        "images_per_second": None if spent is None else result.images / spent,
        "accuracy": row.accuracy,
        "max_relative_error": finite(found.first),
        "max_relative_error_float64": finite(found.float64),
        "parameters_error_after_100_steps": finite(found.after_100),
        "no_speed_because": found.wrong or None,
    }


def finite(number: float | None) -> float | None:
    """Return a number that JSON has a word for, or None."""
    return number if number is not None and math.isfinite(number) else None
