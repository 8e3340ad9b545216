"""Ctrl-C and SIGTERM: a word to the loop first, the end the second time."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import typer

from nnx.cli import show

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

    with _handled(remember):
        yield received


@contextmanager
def at_once(tidy: Callable[[], None]) -> Iterator[None]:
    """End nnx at the first signal, where there is nothing to save.

    No exception does that: one that is raised while a compiler calls back is lost.

    tidy: called before
    """

    def end(number: int, frame: FrameType | None) -> None:
        tidy()
        show.note("nnx: stopped")
        os._exit(EXIT[signal.Signals(number)])

    with _handled(end):
        yield


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    former = {number: signal.signal(number, handler) for number in EXIT}
    try:
        yield
    finally:
        for number, before in former.items():
            signal.signal(number, before)
