"""The course of a run: loss, accuracy and learning rate, epoch by epoch."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from matplotlib.ticker import (
    MaxNLocator,
    PercentFormatter,
)

from nnx.errors import InputError, in_few_words
from nnx.report import style
from nnx.training.log import METRIC_NAMES, Row


def curves(
    log: Sequence[Row], rates: Sequence[tuple[float, float]] = ()
) -> style.Picture:
    """Return a figure of one run.

    rates: learning rates during the run, as pairs (epochs done, rate)

    Raises:
        InputError: the log has no epoch, or rates are not pairs of numbers
    """
    _check(log)
    rates = _checked_rates(rates)
    figure = style.new(3.2, "How training went")
    room: Any = {"left": 0.65, "bottom": 0.5, "top": 0.62, "apart": 0.6}
    loss, score, *more = style.panels(figure, [1.0] * (3 if rates else 2), **room)
    epochs = [row.epoch for row in log]
    which = "validation" if log[-1].validation_loss is not None else "test"
    metric = log[0].metric
    for panel, of in (loss, "loss"), (score, metric):
        for i, part in enumerate(("train", which)):
            values = [row.named[f"{part}_{of}"] for row in log]
            label = {"train": "training (running mean)"}.get(part, part)
            _line(panel, epochs, values, i, label)
        style.plain(panel, METRIC_NAMES.get(of, of), "epoch", _unit(of, metric))
        panel.legend(**style.LEGEND)
    _scale(loss)
    _percent(score, metric)
    for rate in more:
        rate.plot(*zip(*rates, strict=True), color=style.BLUE, linewidth=1.5)
        rate.set_ylim(bottom=0.0)
        style.plain(rate, "learning rate", "epochs done")
    return figure


def compared(logs: Mapping[str, Sequence[Row]]) -> style.Picture:
    """Return a figure that compares several runs.

    logs: each run's log, by the run's name

    Raises:
        InputError: there is no run, one has no epoch, or their metrics differ
    """
    if not isinstance(logs, Mapping) or not logs:
        raise InputError("no run to compare: give each run's log by its name")
    for name, log in logs.items():
        _check(log, f"{in_few_words(name, 60)}: ")
    logs = {str(name): log for name, log in logs.items()}
    words = 0.2 * -(-len(logs) // 2)
    figure = style.new(3.6 + words, "Runs compared")
    room: Any = {"left": 0.65, "bottom": 0.6 + words, "top": 0.62, "apart": 0.6}
    loss, score = style.panels(figure, [1.0, 1.0], **room)
    for i, (name, log) in enumerate(logs.items()):
        epochs = [row.epoch for row in log]
        losses, scores = zip(*(row.monitored for row in log), strict=True)
        _line(loss, epochs, losses, i, name)
        _line(score, epochs, scores, i, name)
    metrics = {log[0].metric for log in logs.values()}
    if len(metrics) > 1:
        raise InputError("runs of classes and of a regression cannot be compared")
    [metric] = metrics
    unit = _unit("loss", metric)
    style.plain(loss, "loss of the validation set, or the test set", "epoch", unit)
    style.plain(score, f"{METRIC_NAMES[metric]} of the same", "epoch")
    _scale(loss)
    _percent(score, metric)
    handles, names = loss.get_lines(), list(map(style.literal, logs))
    figure.legend(handles, names, loc="lower left", fontsize=8, frameon=False, ncols=2)
    return figure


def _unit(of: str, metric: str) -> str:
    return "nats" if of == "loss" and metric == "accuracy" else ""


def _percent(panel: Any, metric: str) -> None:
    if metric == "accuracy":
        panel.yaxis.set_major_formatter(PercentFormatter(1.0))


def _check(log: Sequence[Row], name: str = "") -> None:
    is_list = isinstance(log, list | tuple)
    if not is_list or not all(isinstance(row, Row) for row in log):
        raise InputError(
            f"{name}expected a log, as nnx.train gives it (result.log), not "
            f"{in_few_words(log, 60)}"
        )
    if not log:
        raise InputError(f"{name}no epoch of this run is done yet")


def _checked_rates(rates: Any) -> list[tuple[float, float]]:
    """Return rates as pairs of numbers; raise InputError if they are not."""
    with suppress(TypeError, ValueError, OverflowError):
        return [(float(epochs), float(rate)) for epochs, rate in rates]
    raise InputError(
        f"rates must be pairs (epochs done, rate), not {in_few_words(rates, 60)}"
    )


def _scale(panel: Any) -> None:
    """Use a logarithmic scale for losses that fall to a tenth or less."""
    values = [y for line in panel.get_lines() for y in line.get_ydata()]
    if 0 < 10 * min(values) <= max(values):
        panel.set_yscale("log")
        style.mark_decades(panel.yaxis, min(values), max(values))


def _line(
    panel: Any, x: Sequence[float], y: Sequence[Any], number: int, label: str
) -> None:
    """Draw a value for each epoch as a line; with fewer than three, mark the points."""
    colour, dash = style.line(number)
    marker = "o" if len(x) < 3 else ""
    how: Any = {"color": colour, "linestyle": dash, "marker": marker, "linewidth": 1.5}
    panel.plot(x, y, label=label, **how)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6, min_n_ticks=1))
