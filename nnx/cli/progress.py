"""How compiling is going, and other work that may take a while: on a terminal."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Timer
from typing import Any, TypeVar

from nnx.cli.signals import at_once
from nnx.errors import printable
from nnx.training.progress import draws

Part = TypeVar("Part")
# Work that is done sooner is not told of.
SOON = 0.5


def compiled(shares: Iterable[float], quiet: bool) -> None:
    """Compile what gives these shares as it goes on, with a bar on a terminal.

    The bar is there from the first share on, and not where nothing is compiled.
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
    """Show on a terminal what is being done, once that has taken half a second."""
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
    """Yield parts; once that has taken a second, a terminal shows how much is done.

    size: of a part, in units
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
