"""The errors of nnx, each with the exit status of the command.

NnxError
├── InputError          wrong usage, settings, data or files; also a ValueError
│   └── WriteError      a file that cannot be written
├── BackendError        a backend that cannot be used
│   ├── UnknownBackendError
│   ├── MissingLibraryError
│   └── UnusableBackendError
├── DivergedError       the loss is no longer finite
└── OutOfMemoryError    the device or the host has too little memory

The module also shortens users' values for messages, which have one line.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

LONGEST = 80  # characters of a value in a message
LONGEST_WORD = 200


def printable(text: str) -> str:
    """Return a text with its control and other unprintable characters escaped."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def one_line(text: str) -> str:
    """Return a printable text; the middle of a word of over 200 characters is cut."""
    half = LONGEST_WORD // 2
    return re.sub(
        rf"\S{{{LONGEST_WORD + 1},}}",
        lambda word: f"{word[0][:half]}…{word[0][-half:]}",
        printable(text),
    )


def in_few_words(value: Any, most: int = LONGEST) -> str:
    """Return a value's repr for an error message, cut short if it is long."""
    try:
        text = " ".join(repr(value).split())
    except Exception as error:  # such as an integer with too many digits for Python
        many = " of too many digits" if isinstance(error, ValueError) else ""
        return f"one {type(value).__name__}{many}"
    return text if len(text) <= most else text[: most - 1] + "…"


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the most similar name, ignoring case; None if no name is similar."""
    lower = {known.lower(): known for known in reversed([*names])}
    near = get_close_matches(name.lower(), lower, n=1)
    return lower[near[0]] if near else None


def first_line(error: BaseException) -> str:
    """Return a message's first line that is not blank, or the error's type if none."""
    return next(filter(str.strip, str(error).splitlines()), type(error).__name__)


class NnxError(Exception):
    """The base class; its one-line message says what is wrong and what to do."""

    exit_status = 2

    def __init__(self, message: str = "") -> None:
        """message: may contain users' values, such as paths, with any characters."""
        super().__init__(one_line(message))


class InputError(NnxError, ValueError):
    """Settings, data or files that cannot be used.

    Code that catches the ValueError of a library re-raises this one unchanged first.
    """


class WriteError(InputError):
    """A file that cannot be written, as the disk is full or permission is missing."""

    exit_status = 1


class BackendError(NnxError):
    """A backend that cannot be used."""


class UnknownBackendError(BackendError):
    """No installed package offers a backend of this name."""


class MissingLibraryError(BackendError):
    """A library that a backend, an export or a command needs is not installed."""


class UnusableBackendError(BackendError):
    """The backend's library is installed, but cannot work here, or no longer can."""


class DivergedError(NnxError):
    """The loss is no longer a finite number."""

    exit_status = 3


class OutOfMemoryError(NnxError):
    """The device or the host has too little memory."""

    exit_status = 4
