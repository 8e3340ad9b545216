"""Progress of compiling and of other long work, on a terminal."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Timer
from typing import Any, TypeVar

from nnx.cli.signals import at_once
from nnx.errors import printable
from nnx.training.progress import draws

Part = TypeVar("Part")
# Seconds before anything is shown.
SOON = 0.5


def compiled(shares: Iterable[float], quiet: bool) -> None:
    """Exhaust an iterator that compiles and yields the share done; show it as a bar.

    The bar appears with the first share, and so only if something is compiled.
    """
    if quiet or not draws():
        with at_once(lambda: None):
            for _ in shares:
                pass
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = TextColumn("{task.description}"), BarColumn()
    bars = Progress(*columns, console=Console(stderr=True), transient=True)
    bar = bars.add_task("compiling", total=1.0)
    try:
        with at_once(bars.stop):
            for share in shares:
                bars.start()
                bars.update(bar, completed=share)
    finally:
        bars.stop()


@contextmanager
def doing(what: str, *, quiet: bool = False) -> Iterator[None]:
    """Show on a terminal what is being done, after half a second."""
    if quiet or not draws():
        yield
        return
    bars = _spinner(f"{what} …")
    timer = Timer(SOON, bars.start)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        bars.stop()


def counted(
    parts: Iterable[Part], size: Callable[[Part], int], unit: str
) -> Iterator[Part]:
    """Yield parts, and after a second show the number of units done on a terminal.

    size: returns the units of a part
    """
    began, done = time.monotonic(), 0
    bars: Any = None
    try:
        for part in parts:
            yield part
            done += size(part)
            if bars is None and draws() and time.monotonic() - began > 1:
                bars = _spinner("")
                bars.start()
            if bars is not None:
                bars.update(0, description=f"{done:,} {unit}")
    finally:
        if bars is not None:
            bars.stop()


def _spinner(what: str) -> Any:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress, SpinnerColumn, TextColumn

    columns = SpinnerColumn(), TextColumn("{task.description}")
    bars = Progress(*columns, console=Console(stderr=True), transient=True)
    bars.add_task(escape(printable(what)), total=None)
    return bars
