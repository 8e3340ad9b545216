"""The picture: throughput by implementation, the floor drawn in."""

import io
from collections.abc import Sequence
from statistics import median
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from nnx_benchmarks.throughput import Measured, Result

OURS, THEIRS, FLOOR, QUIET = "#c2410c", "#64748b", "#0f172a", "#475569"
TITLE = "Training: images per second (more is better)"
NOTE = (
    "Bars: medians of epochs run in turn; lines: slowest to fastest. Error: the "
    "largest relative error of loss and gradients against float64."
)
WIDTH, ROW, HEAD = 7.2, 0.32, 1.25  # inches


def png(results: Sequence[Result], machine: str) -> bytes:
    """Return a PNG with a panel for each workload."""
    columns = 1 if len(results) == 1 else 2
    lines = -(-len(results) // columns)
    most = max(len(result.measured) for result in results)
    height = lines * (HEAD + ROW * most) + 1.1
    layout = ConstrainedLayoutEngine(h_pad=0.12, hspace=0.05)
    figure = Figure((WIDTH * columns, height), dpi=120, layout=layout)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for result, panel in zip(results, panels, strict=False):
        _panel(panel, result)
    for panel in panels[len(results) :]:
        panel.set_axis_off()
    figure.suptitle(TITLE, x=0.01, ha="left", fontsize=11)
    figure.supxlabel(f"{NOTE}\n{machine}", x=0.01, ha="left", fontsize=8, color=QUIET)
    content = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(content, format="png")
    return content.getvalue()


def _panel(panel: Any, result: Result) -> None:
    """Draw one workload: fastest on top, and a line at what the floor would allow."""
    rows = sorted(result.measured, key=lambda row: _rates(row, result)[1])
    floor = result.images / result.floor
    for i, row in enumerate(rows):
        slowest, rate, fastest = _rates(row, result)
        colour = OURS if row.implementation.startswith("nnx ") else THEIRS
        panel.barh(i, rate, color=colour, height=0.7)
        panel.hlines(i, slowest, fastest, color=FLOOR, linewidth=1)
        panel.annotate(
            _label(row, rate), (fastest, i), (4, 0), textcoords="offset points",
            va="center", fontsize=8, color=FLOOR,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
        )  # fmt: skip
    panel.set_yticks(range(len(rows)), [row.implementation for row in rows])
    panel.axvline(floor, color=FLOOR, linestyle="--", linewidth=1)
    panel.annotate(
        f"matrix products alone: {_rate(floor)}", (floor, 1), (-3, 3), va="bottom",
        xycoords=("data", "axes fraction"), textcoords="offset points", ha="right",
        fontsize=8, color=FLOOR,
    )  # fmt: skip
    panel.set_title(
        f"{result.key}  ·  {result.workload}", loc="left", fontsize=10, pad=18
    )
    panel.set_xlim(0, 1.25 * max(floor, *(_rates(row, result)[2] for row in rows)))
    panel.xaxis.set_major_formatter(lambda rate, _: _rate(rate))
    panel.tick_params(labelsize=8)
    panel.tick_params(axis="y", length=0)
    panel.spines[["top", "right", "left"]].set_visible(False)


def _rates(row: Measured, result: Result) -> tuple[float, float, float]:
    """Return images per second: slowest, median, fastest; 0 where there is no speed."""
    if not row.seconds:
        return 0.0, 0.0, 0.0
    slowest, fastest = (result.images / f(row.seconds) for f in (max, min))
    return slowest, result.images / median(row.seconds), fastest


def _label(row: Measured, rate: float) -> str:
    if not row.seconds:
        return f"no speed: {row.agreement.wrong.partition(':')[0]}"
    return f"{_rate(rate)}, error {row.agreement.first:.0e}"


def _rate(rate: float) -> str:
    """Return images per second, short."""
    if rate >= 1e6:
        return f"{rate / 1e6:.2f} M"
    return f"{rate / 1e3:.0f} k" if rate else "0"
