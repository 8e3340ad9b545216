"""Progress of training on stderr: a bar where one can be drawn, or else lines."""

import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec

from nnx.training.log import METRIC_NAMES, best
from nnx.training.plan import Progress
from nnx.training.scores import in_words, score_text

# Texts before and after the bar; the first pair that leaves the bar room is used.
FORMS = (
    ("epoch {epoch}", "loss {loss} · {part} {metric} {score} · {speed} {samples}/s"),
    ("epoch {epoch}", "loss {loss} · {short} {score} · {speed} {samples}/s"),
    ("{epoch}", "loss {loss} {short} {score} {speed}/s"),
    ("{epoch}", ""),
)
SHORT = {"validation": "val.", "test": "test"}
# Minimum width of the bar, and room for the time and spaces, in columns.
BAR, TIME = 10, 10
# Drawing is limited because an epoch may take less time than a terminal needs to draw.
DRAW_SECONDS = 0.2


@contextmanager
def shown(
    quiet: bool, then: Callable[[Progress], None] = lambda progress: None
) -> Iterator[Callable[[Progress], None]]:
    """Provide a function that shows each progress update on stderr.

    then: also called with each update
    """
    if quiet:
        yield then
        return
    with _bar() if draws() else nullcontext(_line) as show:

        def both(progress: Progress) -> None:
            show(progress)
            then(progress)

        yield both


def draws() -> bool:
    """Return whether stderr is a terminal or a notebook that can redraw a bar."""
    if sys.stderr.isatty():
        return os.environ.get("TERM") not in ("dumb", "unknown")
    return "ipykernel" in sys.modules and find_spec("ipywidgets") is not None


def _line(progress: Progress) -> None:
    if progress.epoch_ended:
        row = progress.position.log[-1]
        print(
            f"epoch {row.epoch}/{progress.total_epochs}  train loss "
            f"{row.train_loss:.4f} {in_words(row.train_score, row.metric)}  "
            f"{_monitored(progress)}  {progress.images_per_second:,.0f} "
            f"{progress.samples}/s",
            file=sys.stderr,
            flush=True,
        )


def _monitored(progress: Progress) -> str:
    """Describe the last epoch's monitored loss and score, and name the best epoch."""
    position, row = progress.position, progress.position.log[-1]
    loss, score = row.monitored
    chosen = f"  best epoch {best(position.log).epoch}" if position.best else ""
    words = in_words(score, row.metric)
    return f"{progress.part} loss {loss:.4f} {words}{chosen}"


@contextmanager
def _bar() -> Iterator[Callable[[Progress], None]]:
    """Provide a function that moves a bar and prints the epochs' rows above it."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars
    from rich.table import Column
    from rich.text import Text

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.fields[before]}"),
        BarColumn(None, table_column=Column(ratio=1)),
        TextColumn("{task.fields[after]}"),
        TimeRemainingColumn(compact=True),
    )
    lines = list[str]()

    def print_lines() -> None:
        if lines:
            text = "\n".join(lines)
            console.print(Text(text, no_wrap=True, overflow="ellipsis"))
            lines.clear()

    with Bars(
        *columns,
        console=console,
        transient=True,
        expand=True,
        refresh_per_second=1 / DRAW_SECONDS,
    ) as bars:
        bar = bars.add_task("", total=None, before="", after="")
        drawn, has_heading = 0.0, False

        def show(progress: Progress) -> None:
            nonlocal drawn, has_heading
            if progress.epoch_ended:
                lines.extend([_row(progress)] if has_heading else _first(progress))
                has_heading = True
            total, done = progress.total_epochs, progress.epochs
            if time.monotonic() - drawn < DRAW_SECONDS and done < total:
                return
            before, after = words(progress, console.width)
            bars.update(bar, total=total, completed=done, before=before, after=after)
            print_lines()
            drawn = time.monotonic()

        try:
            yield show
        finally:
            print_lines()


def words(progress: Progress, width: int) -> tuple[str, str]:
    """Return the texts before and after the bar on a terminal of this width."""
    log, total = progress.position.log, progress.total_epochs
    score = score_text(log[-1].monitored[1], progress.metric) if log else "–"
    epoch = f"{math.ceil(progress.epochs):>{len(str(total))}}/{total}"
    values = {
        "epoch": epoch,
        "loss": _loss(progress.loss),
        "part": progress.part,
        "short": SHORT[progress.part],
        "metric": METRIC_NAMES[progress.metric],
        "score": f"{score:>7}",
        "speed": f"{progress.images_per_second:,.0f}",
        "samples": progress.samples,
    }
    for form in FORMS:
        before, after = (text.format(**values) for text in form)
        if len(before) + len(after) + BAR + TIME <= width:
            break
    return before, after


def _first(progress: Progress) -> list[str]:
    """Return the heading and the first row."""
    loss, metric = f"{SHORT[progress.part]} loss", METRIC_NAMES[progress.metric]
    return [
        f"{'epoch':>{_epoch_width(progress)}}  train loss  {metric:>8}  "
        f"{loss:>9}  {metric:>8}  {progress.samples + '/s':>9}",
        _row(progress),
    ]


def _row(progress: Progress) -> str:
    """Return the row of the epoch that has ended; a star marks the best so far."""
    position, row = progress.position, progress.position.log[-1]
    loss, score = row.monitored
    train, scored = (score_text(x, row.metric) for x in (row.train_score, score))
    star = "*" if position.best and best(position.log) is row else " "
    return (
        f"{row.epoch:>{_epoch_width(progress)}}  {_loss(row.train_loss):>10}  "
        f"{train:>8}  {_loss(loss):>9}  {scored:>8}{star} "
        f"{progress.images_per_second:9,.0f}"
    )


def _epoch_width(progress: Progress) -> int:
    return max(5, len(str(progress.total_epochs)))


def _loss(loss: float) -> str:
    return f"{loss:.4f}" if loss < 1000 else f"{loss:.3g}"
