"""What mattered in a sweep: each setting's share, and scores against the main ones."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from matplotlib.ticker import MaxNLocator, PercentFormatter

from nnx.report import style
from nnx.training.log import METRIC_NAMES

# Most settings with a bar, most settings with a panel, and most characters of a choice.
BARS, PANELS, LETTERS = 12, 2, 14
LINE = 24  # characters of choices that fit side by side below a panel


def mattered(
    shares: Mapping[str, float],
    values: Mapping[str, Sequence[Any]],
    scores: Sequence[float],
    metric: str,
    log: Collection[str] = (),
) -> style.Picture:
    """Return a figure of a sweep's trials.

    shares: each setting's share in the variation of the score, the largest first; one
        or more
    values: of each setting in each trial: numbers, or choices as text
    scores: of each trial, on the validation set
    metric: what the scores are, of `log.METRICS`
    log: the settings whose logarithms were drawn uniformly
    """
    foremost = list(shares)[:PANELS]
    names = list(shares)[:BARS]
    figure = style.new(max(3.2, 1.2 + 0.24 * len(names)), "What mattered in the sweep")
    room: Any = {"left": 1.5, "bottom": 0.75, "top": 0.62, "apart": 0.75}
    bars, *panels = style.panels(figure, [1.0] * (1 + len(foremost)), **room)
    bars.barh(names, [shares[name] for name in names], color=style.BLUE, height=0.6)
    bars.invert_yaxis()
    bars.xaxis.set_major_formatter(PercentFormatter(1.0))
    style.plain(bars, "share of the score's variance")
    for name, panel in zip(foremost, panels, strict=True):
        best = _panel(panel, name, values[name], scores, name in log)
        of = f"validation {METRIC_NAMES[metric]}"
        panel.set_title(of, loc="left", fontsize=9, color=style.INK)
        if metric == "accuracy":
            panel.yaxis.set_major_formatter(PercentFormatter(1.0))
    figure.legend([best], ["the best trial"], loc="upper right", **style.LEGEND)
    return figure


def _panel(
    panel: Any, name: str, values: Sequence[Any], scores: Sequence[float], log: bool
) -> Any:
    """Draw each trial's score against one setting; return the best trial's point."""
    numbers = all(type(value) in (int, float) for value in values)
    choices = sorted(set(map(str, values)), key=_in_order)
    x = list(values) if numbers else [choices.index(str(value)) for value in values]
    best = scores.index(max(scores))
    others = [i for i in range(len(x)) if i != best]
    for part, colour, size in (others, style.BLUE, 14), ([best], style.ORANGE, 30):
        points = [x[i] for i in part], [scores[i] for i in part]
        drawn = panel.scatter(*points, s=size, color=colour, alpha=0.7, linewidths=0)
    style.plain(panel, "", name)
    if log:
        panel.set_xscale("log")
        style.mark_decades(panel.xaxis, min(x), max(x))
    elif numbers:
        panel.xaxis.set_major_locator(MaxNLocator(nbins=5))
    else:
        shown = style.shortened([choice or '""' for choice in choices], LETTERS)
        panel.set_xticks(range(len(choices)), shown)
        if sum(map(len, shown)) > LINE:
            panel.tick_params(axis="x", rotation=20)
            for label in panel.get_xticklabels():
                label.set(ha="right", rotation_mode="anchor")
        panel.set_xlim(-0.5, len(choices) - 0.5)
    return drawn


def _in_order(choice: str) -> list[tuple[int, int, str]]:
    """Return a key by which choices are in the order of the numbers in them."""
    parts = [part for part in re.split(r"(\d+)", choice) if part]
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts]
