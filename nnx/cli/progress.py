"""How training is going: a bar on a terminal, a line an epoch elsewhere."""

import math
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import typer

from nnx.cli.signals import at_once
from nnx.training.log import best
from nnx.training.plan import Position, Progress


def compiled(shares: Iterable[float], quiet: bool) -> None:
    """Compile what gives these shares as it goes on, with a bar on a terminal."""
    if quiet or not sys.stderr.isatty():
        with at_once(lambda: None):
            for _ in shares:
                pass
        return
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bars

    columns = TextColumn("{task.description}"), BarColumn()
    with Bars(*columns, console=_console(), transient=True) as bars:
        bar = bars.add_task("compiling", total=1.0)
        with at_once(bars.stop):
            for share in shares:
                bars.update(bar, completed=share)


@contextmanager
def shown(quiet: bool) -> Iterator[Callable[[Progress], None]]:
    """Give a function that shows each progress update on stderr."""
    if quiet:
        yield lambda progress: None
    elif sys.stderr.isatty():
        yield from _bar()
    else:
        yield _line


def _line(progress: Progress) -> None:
    if progress.epoch_ended:
        row, position = progress.position.log[-1], progress.position
        typer.echo(
            f"epoch {row.epoch}/{progress.total_epochs}  train loss "
            f"{row.train_loss:.4f} accuracy {row.train_accuracy:.4f}  "
            f"{_monitored(position)}  {progress.images_per_second:,.0f} images/s",
            err=True,
        )


def _monitored(position: Position) -> str:
    """Say how the last epoch did on what it is measured by, and which was the best."""
    row = position.log[-1]
    which = "test" if row.validation_loss is None else "validation"
    loss, accuracy = row.monitored
    chosen = f"  best epoch {best(position.log).epoch}" if position.best else ""
    return f"{which} loss {loss:.4f} accuracy {accuracy:.4f}{chosen}"


def _bar() -> Iterator[Callable[[Progress], None]]:
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = BarColumn(), TimeRemainingColumn(), TextColumn("{task.description}")
    with Bars(*columns, console=_console(), transient=True) as bars:
        bar = bars.add_task("", total=None)

        def show(progress: Progress) -> None:
            position = progress.position
            tested = f" · {_monitored(position)}" if position.log else ""
            text = (
                f"epoch {math.ceil(progress.epochs)}/{progress.total_epochs} · loss "
                f"{progress.loss:.4f}{tested} · "
                f"{progress.images_per_second:,.0f} images/s"
            )
            bars.update(
                bar,
                total=progress.total_epochs,
                completed=progress.epochs,
                description=text,
            )

        yield show


def _console() -> Any:
    from rich.console import Console

    return Console(stderr=True)
