"""Ctrl-C, SIGTERM and SIGHUP: the first asks training to stop, the second ends it.

The handlers change as the program proceeds; Python's own are never in effect. During
imports, `begin` ends the program at once. `raised` unwinds a command with an exception,
so that it leaves nothing half done. `remembered` lets training finish its step.
`by_the_system` is for calls in which Python cannot handle a signal. After `over`, all
are ignored. A signal that was ignored from the start, as by nohup, stays ignored.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

# 128 plus the signal's number, as in shells; Windows has no SIGHUP.
EXIT = {
    getattr(signal, name): 128 + getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if hasattr(signal, name)
}
Handler = Callable[[int, FrameType | None], object] | signal.Handlers | int
IMPORTING = "<frozen importlib._bootstrap>"
SHOW_CURSOR = "\x1b[?25h"


class StoppedError(BaseException):
    """A signal arrived. Not an Exception, so that no `except Exception` catches it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def begin() -> None:
    """From now on, end nnx at once at a signal: nothing has been done yet."""
    _answer(_end)


@contextmanager
def raised() -> Iterator[None]:
    """Raise StoppedError at the first signal; a later one ends nnx at once."""
    _answer(_raise)
    sys.unraisablehook = _lost
    try:
        yield
    finally:
        _answer(_end)


@contextmanager
def remembered() -> Iterator[list[int]]:
    """Provide a list to which the first signal is added; the second one ends nnx."""
    received: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        _answer(signal.SIG_DFL)
        received.append(number)
        # A second signal while the bar is drawn would leave the cursor hidden.
        say(f"{_show_cursor()}\nnnx: finishing this step and saving")

    with _answered(remember):
        yield received


@contextmanager
def at_once(tidy: Callable[[], None]) -> Iterator[None]:
    """End nnx at the first signal, where there is nothing to save.

    An exception would be lost if it were raised while a compiler calls back.

    tidy: called before the end
    """

    def end(number: int, frame: FrameType | None) -> None:
        _answer(_end)
        with suppress(Exception):  # it may interrupt what it tidies
            tidy()
        _end(number, frame)

    with _answered(end):
        yield


@contextmanager
def by_the_system() -> Iterator[None]:
    """Let the system end nnx at a signal, where a call may not return to Python."""
    with _answered(signal.SIG_DFL):
        yield


def over() -> None:
    """Ignore signals from now on, as all is done."""
    _answer(signal.SIG_IGN)


def say(text: str) -> None:
    """Write a line to stderr's descriptor, as its buffer may be in use.

    text: ASCII, as consoles on Windows have encodings of their own
    """
    with suppress(OSError, ValueError, AttributeError):  # broken, closed or None
        os.write(sys.stderr.fileno(), f"{text}\n".encode())


def _answer(handler: Handler) -> dict[int, Handler]:
    """Set the handler of signals that are not ignored; return the former handlers."""
    former = {number: signal.getsignal(number) for number in EXIT}
    heard = {n: was for n, was in former.items() if was not in (signal.SIG_IGN, None)}
    for number in heard:
        signal.signal(number, handler)
    return heard


@contextmanager
def _answered(handler: Handler) -> Iterator[None]:
    former = _answer(handler)
    try:
        yield
    finally:
        for number, before in former.items():
            signal.signal(number, before)


def _show_cursor() -> str:
    """Return the escape code that shows the cursor, which a bar hides; or ""."""
    bar = sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
    return SHOW_CURSOR if bar else ""


def _end(number: int, frame: FrameType | None = None) -> None:
    cursor = ""
    with suppress(ValueError, AttributeError):  # closed, or None
        cursor = _show_cursor()
    say(f"{cursor}nnx: stopped")
    os._exit(EXIT[number])


def _raise(number: int, frame: FrameType | None) -> None:
    _answer(_end)
    while frame is not None:
        if frame.f_code.co_filename == IMPORTING:
            _end(number)  # modules in C would replace the exception
        frame = frame.f_back
    raise StoppedError(number)


def _lost(lost: "sys.UnraisableHookArgs") -> None:
    """End nnx if StoppedError was raised where exceptions are lost."""
    if isinstance(lost.exc_value, StoppedError):
        _end(lost.exc_value.number)
    sys.__unraisablehook__(lost)
