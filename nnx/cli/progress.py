"""How compiling is going: a bar on a terminal."""

from collections.abc import Iterable

from nnx.cli.signals import at_once
from nnx.training.progress import draws


def compiled(shares: Iterable[float], quiet: bool) -> None:
    """Compile what gives these shares as it goes on, with a bar on a terminal."""
    if quiet or not draws():
        with at_once(lambda: None):
            for _ in shares:
                pass
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = TextColumn("{task.description}"), BarColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("compiling", total=1.0)
        with at_once(bars.stop):
            for share in shares:
                bars.update(bar, completed=share)
