"""Predictions of a regression: against the true values, and their residuals."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from nnx.data.arrays import Array, as_array
from nnx.errors import InputError
from nnx.report import style
from nnx.training import scores

# Most panels side by side, most panels, and most points in a panel.
ACROSS, TARGETS, POINTS = 3, 9, 2000
# Most characters of a name, and of a title if three panels are side by side.
NAME, TITLE = 20, 30
# From LARGE to TOO_LARGE, values on an axis are written out, as in 1,500,000.
LARGE, TOO_LARGE = 1e4, 1e7


def predictions(
    true: Array, predicted: Array, names: Sequence[str] = ("value",)
) -> style.Picture:
    """Return a figure of predicted against true values, with a panel for each target.

    A row that is predicted exactly lies on the diagonal. At most `TARGETS` targets are
    shown.

    true, predicted: (n,) or (n, targets), in the targets' units
    names: of the targets

    Raises:
        InputError: an array has another shape, or is not finite
    """
    names = style.checked_names(names, "names")
    true, predicted = _checked(true, predicted, names)
    figure, panels = _panels("Predicted against true values", len(true), names)
    r2 = scores.r2_of(true, predicted)
    chosen = _spread(len(true))
    titles = _titles(names, [f"R² {one:.4f}" for one in r2])
    for i, (panel, title) in enumerate(zip(panels, titles, strict=False)):
        x, y = true[:, i], predicted[:, i]
        ends = _ends(np.append(x, y))
        panel.plot(ends, ends, color=style.QUIET, linewidth=1.0)
        _points(panel, x[chosen], y[chosen])
        panel.set_xlim(ends)
        panel.set_ylim(ends)
        _words(panel, title, "true", "predicted")
    return figure


def residuals(
    true: Array, predicted: Array, names: Sequence[str] = ("value",)
) -> style.Picture:
    """Return a figure of predicted minus true values, with a panel for each target.

    If the network has learned all that can be learned, the residuals scatter about zero
    in the same way for small and for large predictions. At most `TARGETS` targets are
    shown.

    true, predicted, names: as for `predictions`

    Raises:
        InputError: an array has another shape, or is not finite
    """
    names = style.checked_names(names, "names")
    true, predicted = _checked(true, predicted, names)
    figure, panels = _panels("Residuals: predicted - true", len(true), names)
    chosen, rmse = _spread(len(true)), np.sqrt(np.mean((predicted - true) ** 2, 0))
    titles = _titles(names, [f"RMSE {scores.quantity(one)}" for one in rmse])
    for i, (panel, title) in enumerate(zip(panels, titles, strict=False)):
        x, y = predicted[:, i], predicted[:, i] - true[:, i]
        panel.axhline(0.0, color=style.QUIET, linewidth=1.0)
        _points(panel, x[chosen], y[chosen])
        top = 1.05 * float(np.max(np.abs(y))) or 1.0
        panel.set_ylim(-top, top)
        panel.set_xlim(_ends(x))
        _words(panel, title, "predicted", "predicted - true")
    return figure


def _checked(
    true: Array, predicted: Array, names: Sequence[str]
) -> tuple[Array, Array]:
    """Return both as (n, targets); raise InputError if they do not fit each other."""
    arrays = as_array(true, "true"), as_array(predicted, "predicted")
    shapes = [values.shape for values in arrays]
    n = len(arrays[0]) if shapes[0] else 0
    accepted = [(n,), (n, 1)] if len(names) == 1 else [(n, len(names))]
    if n == 0 or not all(shape in accepted for shape in shapes):
        raise InputError(
            f"expected true and predicted values of {len(names)} targets, got arrays "
            f"of shapes {shapes[0]} and {shapes[1]}"
        )
    for values in arrays:
        if values.dtype.kind not in "fiu" or not np.isfinite(values).all():
            raise InputError("true and predicted values must be finite numbers")
    first, second = (values.astype(np.float64).reshape(n, -1) for values in arrays)
    return first, second


def _panels(
    title: str, rows: int, names: Sequence[str]
) -> tuple[style.Picture, list[Any]]:
    """Return a figure with a panel for each target, at most `TARGETS`."""
    shown = min(len(names), TARGETS)
    across = min(shown, ACROSS)
    lines = math.ceil(shown / across)
    if rows > POINTS:
        title += f": {POINTS:,} of {rows:,} rows"
    if shown < len(names):
        title += f", the first {shown} of {len(names)} targets"
    height = {1: 4.6, 2: 4.2, 3: 3.1}[across]
    width = style.WIDTH if across > 1 else 5.6
    figure = style.new(0.35 + lines * height, title, width)
    room: Any = {"left": 0.95, "bottom": 0.55, "top": 0.65, "apart": 0.95}
    panels = style.panels(figure, [1.0] * across, **room, lines=lines)
    for panel in panels[shown:]:
        panel.set_axis_off()
    return figure, panels


def _titles(names: Sequence[str], scores: Sequence[str]) -> list[str]:
    """Return a title for each target: its name, shortened to fit, and a score."""
    room = NAME if len(names) < ACROSS else TITLE - 2 - max(map(len, scores))
    short = style.shortened(names, min(NAME, room))
    return [f"{name}: {score}" for name, score in zip(short, scores, strict=True)]


def _spread(rows: int) -> Array:
    """Return the rows to draw: all, or at most `POINTS` evenly spread ones."""
    return np.unique(np.linspace(0, rows - 1, min(rows, POINTS)).astype(int))


def _ends(values: Array) -> tuple[float, float]:
    """Return the range of all values with a margin."""
    low, high = float(values.min()), float(values.max())
    margin = 0.04 * (high - low) or max(1e-3 * abs(low), 1e-3)
    return low - margin, high + margin


def _points(panel: Any, x: Array, y: Array) -> None:
    alpha = 0.8 if len(x) <= 200 else 0.35
    how: Any = {"s": 12, "alpha": alpha, "linewidths": 0, "clip_on": False}
    panel.scatter(x, y, color=style.BLUE, **how)


def _words(panel: Any, title: str, x: str, y: str) -> None:
    style.plain(panel, title, x, y)
    for axis in panel.xaxis, panel.yaxis:
        low, high = axis.get_view_interval()
        largest = max(abs(low), abs(high))
        # With a far smaller range, or longer numbers, matplotlib's own are shorter.
        if LARGE <= largest < TOO_LARGE and high - low > largest / LARGE:
            axis.set_major_formatter(StrMethodFormatter("{x:,.10g}"))
            axis.set_major_locator(MaxNLocator(nbins=3 if largest >= 1e6 else 4))
        else:
            axis.set_major_locator(MaxNLocator(nbins=5))
