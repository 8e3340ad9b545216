"""What a download shows on standard error."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal


class _Bar:
    """What pooch asks of a progress bar, passed on to rich."""

    total = 0  # pooch sets it to what the server says; the published size is better

    def __init__(self, shown: Any, task: Any) -> None:
        self._shown, self._task = shown, task

    def update(self, count: int) -> None:
        self._shown.advance(self._task, count)

    def reset(self) -> None:
        self._shown.reset(self._task)

    def close(self) -> None:
        """Do nothing: the block that opened the bar closes it."""


@contextmanager
def progress(label: str, size: int) -> Iterator[_Bar | Literal[False]]:
    """Show a bar of so many bytes on a terminal, and one plain line elsewhere."""
    if not sys.stderr.isatty():
        print(f"downloading {label} ({size:,} bytes)", file=sys.stderr)
        yield False
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as shown:
        yield _Bar(shown, shown.add_task(label, total=size))
