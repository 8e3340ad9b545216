"""Ctrl-C, SIGTERM and SIGHUP: a word to the loop first, the end the second time.

What answers them changes as the program goes on, and is none of Python's own from its
first line to its last. `begin` ends it at once while it is imported, `raised` unwinds a
command, so that it leaves nothing half done, `remembered` is for training, which goes
on to the end of its step, and `over` for when all is done. Python has no answer while
processes are joined, `by_the_system`. A signal that is ignored, as nohup has it, stays
so.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

# 128 and the signal's number, as shells have it; Windows has no SIGHUP.
EXIT = {
    getattr(signal, name): 128 + getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if hasattr(signal, name)
}
Handler = Callable[[int, FrameType | None], object] | signal.Handlers | int
IMPORTING = "<frozen importlib._bootstrap>"
SHOW_CURSOR = "\x1b[?25h"


class StoppedError(BaseException):
    """A signal came; no `except Exception` on its way may take it for an error."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def begin() -> None:
    """End nnx at once at a signal, from now on: nothing is done yet."""
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
    """Give a list that the first signal is put in; the second one ends nnx."""
    received: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        _answer(signal.SIG_DFL)
        received.append(number)
        # Nobody else will, if the second one comes while there is a bar.
        say(f"{_show_cursor()}\nnnx: finishing this step and saving")

    with _answered(remember):
        yield received


@contextmanager
def at_once(tidy: Callable[[], None]) -> Iterator[None]:
    """End nnx at the first signal, where there is nothing to save.

    No exception does that: one that is raised while a compiler calls back is lost.

    tidy: called before
    """

    def end(number: int, frame: FrameType | None) -> None:
        _answer(_end)
        with suppress(Exception):  # it may be in the midst of what it has to end
            tidy()
        _end(number, frame)

    with _answered(end):
        yield


@contextmanager
def by_the_system() -> Iterator[None]:
    """Have the system end nnx at a signal, where a call may not return to Python."""
    with _answered(signal.SIG_DFL):
        yield


def over() -> None:
    """Let no signal change how nnx ends, now that all is done and said."""
    _answer(signal.SIG_IGN)


def say(text: str) -> None:
    """Write a line on stderr, past its buffer, which may be in use just now.

    text: ASCII; a console of Windows takes bytes for those of its own encoding
    """
    with suppress(OSError, ValueError, AttributeError):  # broken, closed or None
        os.write(sys.stderr.fileno(), f"{text}\n".encode(errors="replace"))


def _answer(handler: Handler) -> dict[int, Handler]:
    """Set what answers the signals that are not ignored; return what did before."""
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
    """Return what shows a terminal's cursor again, which a bar hides."""
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
            _end(number)  # modules in C make another error of what is raised in them
        frame = frame.f_back
    raise StoppedError(number)


def _lost(lost: "sys.UnraisableHookArgs") -> None:
    """End nnx where the exception was raised in what cannot raise one."""
    if isinstance(lost.exc_value, StoppedError):
        _end(lost.exc_value.number)
    sys.__unraisablehook__(lost)
