"""The picture of throughput by implementation, with the matrix products among them."""

import io
import textwrap
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from nnx_benchmarks.report import Row, Table

OURS, THEIRS, FLOOR, QUIET = "#c2410c", "#64748b", "#0f172a", "#475569"
TITLE = "Training: images per second (more is better)"
NOTE = (
    "Bars: medians of epochs run in turn; lines: slowest to fastest. Error: the "
    "largest relative error of loss and gradients (of a recipe, weights) to float64."
)
WIDTH, ROW, HEAD, LINE = 7.2, 0.32, 1.25, 0.14  # inches
LETTERS = 16  # of the note, per inch


def png(tables: list[Table], machine: str) -> bytes:
    """Return a PNG with a panel for each workload."""
    columns = 1 if len(tables) == 1 else 2
    lines = -(-len(tables) // columns)
    rows = max(len(table.rows) for table in tables)
    words = [
        line
        for text in (NOTE, machine)
        for line in textwrap.wrap(text, round(LETTERS * WIDTH * columns))
    ]
    height = lines * (HEAD + ROW * rows) + 0.8 + LINE * len(words)
    layout = ConstrainedLayoutEngine(h_pad=0.12, hspace=0.05)
    figure = Figure((WIDTH * columns, height), dpi=120, layout=layout)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for table, panel in zip(tables, panels, strict=False):
        _panel(panel, table)
    for panel in panels[len(tables) :]:
        panel.set_axis_off()
    figure.suptitle(TITLE, x=0.01, ha="left", fontsize=11)
    note: Any = {"x": 0.01, "ha": "left", "fontsize": 8, "color": QUIET}
    figure.supxlabel("\n".join(words), **note)
    content = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(content, format="png")
    return content.getvalue()


def _panel(panel: Any, table: Table) -> None:
    """Draw one workload, fastest on top."""
    largest, rows = 1.0, table.rows[::-1]
    for i, row in enumerate(rows):
        rate, fastest = row["images_per_second"] or 0.0, 0.0
        colour = THEIRS if row["max_relative_error"] is not None else FLOOR
        colour = OURS if row["implementation"].startswith("nnx ") else colour
        panel.barh(i, rate, color=colour, height=0.7)
        if rate:
            fastest, slowest = (
                rate * row["ms_per_epoch"] / ms for ms in row["ms_range"]
            )
            panel.hlines(i, slowest, fastest, color=FLOOR, linewidth=1)
            largest = max(largest, fastest)
        panel.annotate(
            _label(row), (fastest, i), (4, 0), textcoords="offset points",
            va="center", fontsize=8, color=FLOOR,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
        )  # fmt: skip
    panel.set_yticks(range(len(rows)), [row["implementation"] for row in rows])
    panel.set_title(table.title.partition(";")[0], loc="left", fontsize=8, pad=8)
    panel.set_xlim(0, 1.25 * largest)
    panel.xaxis.set_major_formatter(lambda rate, _: _rate(rate))
    panel.tick_params(labelsize=8)
    panel.tick_params(axis="y", length=0)
    panel.spines[["top", "right", "left"]].set_visible(False)


def _label(row: Row) -> str:
    if row["no_speed_because"]:
        return f"no speed: {row['no_speed_because'].partition(':')[0]}"
    rate, error = _rate(row["images_per_second"]), row["max_relative_error"]
    return rate if error is None else f"{rate}, error {error:.0e}"


def _rate(rate: float) -> str:
    """Return images per second, short."""
    if rate >= 1e6:
        return f"{rate / 1e6:.2f} M"
    return f"{rate / 1e3:.0f} k" if rate else "0"
