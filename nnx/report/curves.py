"""How a run went: cost, accuracy and learning rate, epoch by epoch."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.ticker import MaxNLocator, PercentFormatter

from nnx.report import style
from nnx.training.log import Row


def curves(
    log: Sequence[Row], rates: Sequence[tuple[float, float]] = ()
) -> style.Picture:
    """Return a figure of one run.

    rates: the learning rate at some moments, each (epochs done, rate)
    """
    figure = style.new(3.2, "How training went")
    room: Any = {"left": 0.65, "bottom": 0.5, "top": 0.62, "apart": 0.6}
    cost, accuracy, *more = style.panels(figure, [1.0] * (3 if rates else 2), **room)
    epochs = [row.epoch for row in log]
    which = "validation" if log[-1].validation_loss is not None else "test"
    for panel, of, words in (cost, "loss", "cost (nats)"), (accuracy, "accuracy", ""):
        for i, part in enumerate(("train", which)):
            values = [getattr(row, f"{part}_{of}") for row in log]
            label = {"train": "training, as it came"}.get(part, part)
            _line(panel, epochs, values, i, label)
        style.plain(panel, of.replace("loss", "cost"), "epoch", words)
        panel.legend(fontsize=8, frameon=False, labelcolor=style.INK)
    cost.set_yscale("log")
    accuracy.yaxis.set_major_formatter(PercentFormatter(1.0))
    for rate in more:
        rate.plot(*zip(*rates, strict=True), color=style.BLUE, linewidth=1.5)
        rate.set_ylim(bottom=0.0)
        style.plain(rate, "learning rate", "epochs done")
    return figure


def compared(logs: Mapping[str, Sequence[Row]]) -> style.Picture:
    """Return a figure of several runs, each by its name."""
    words = 0.2 * -(-len(logs) // 2)
    figure = style.new(3.6 + words, "Runs compared")
    room: Any = {"left": 0.65, "bottom": 0.6 + words, "top": 0.62, "apart": 0.6}
    cost, accuracy = style.panels(figure, [1.0, 1.0], **room)
    for i, (name, log) in enumerate(logs.items()):
        epochs = [row.epoch for row in log]
        losses, accuracies = zip(*(row.monitored for row in log), strict=True)
        _line(cost, epochs, losses, i, name)
        _line(accuracy, epochs, accuracies, i, name)
    style.plain(cost, "cost of the validation set, or the test images", "epoch", "nats")
    style.plain(accuracy, "accuracy of the same", "epoch")
    cost.set_yscale("log")
    accuracy.yaxis.set_major_formatter(PercentFormatter(1.0))
    handles, names = cost.get_lines(), list(map(style.literal, logs))
    figure.legend(handles, names, loc="lower left", fontsize=8, frameon=False, ncols=2)
    return figure


def _line(
    panel: Any, x: Sequence[float], y: Sequence[Any], number: int, label: str
) -> None:
    """Draw a value for each epoch; a single one as a point, which a line cannot be."""
    colour, dash = style.line(number)
    marker = "o" if len(x) < 3 else ""
    how: Any = {"color": colour, "linestyle": dash, "marker": marker, "linewidth": 1.5}
    panel.plot(x, y, label=label, **how)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6, min_n_ticks=1))
