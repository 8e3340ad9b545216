"""Ctrl-C and SIGTERM: a word to the loop first, the end the second time."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import typer

# 128 and the signal's number, as shells have it.
EXIT = {signal.SIGINT: 130, signal.SIGTERM: 143}


@contextmanager
def remembered() -> Iterator[list[signal.Signals]]:
    """Give a list that the first signal is put in; the second one ends nnx."""
    received: list[signal.Signals] = []

    def remember(number: int, frame: FrameType | None) -> None:
        received.append(signal.Signals(number))
        for each in EXIT:
            signal.signal(each, signal.SIG_DFL)
        typer.echo("\nnnx: finishing this step and saving …", err=True)

    former = {number: signal.signal(number, remember) for number in EXIT}
    try:
        yield received
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
