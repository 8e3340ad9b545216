"""Ctrl-C and SIGTERM: a word to the loop first, the end the second time."""

import signal
from types import FrameType
from typing import Self

import typer

EXIT: dict[int, int] = {signal.SIGINT: 130, signal.SIGTERM: 143}


class Stopper:
    """While it is entered, the first signal is remembered and the second ends nnx."""

    def __init__(self) -> None:
        self.received: int | None = None

    def __enter__(self) -> Self:
        self._former = {n: signal.signal(n, self._remember) for n in EXIT}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def asked(self) -> bool:
        """Return whether a signal has come."""
        return self.received is not None

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        for other in EXIT:
            signal.signal(other, signal.SIG_DFL)
        typer.echo("\nnnx: finishing this step and saving …", err=True)

    @property
    def exit_status(self) -> int:
        """128 and the signal's number, as shells have it."""
        return EXIT[self.received or signal.SIGINT]
