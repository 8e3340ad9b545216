"""What nnx refuses, each with the exit status that the command line gives it.

NnxError
├── InputError          wrong usage, settings, data or files; a ValueError too
│   └── WriteError      a file that the disk does not take
├── BackendError        a backend that cannot be used
│   ├── UnknownBackendError
│   ├── MissingLibraryError
│   └── UnusableBackendError
├── DivergedError       the loss is no longer finite
└── OutOfMemoryError    the device or the host has no room

And how a message says what a user gave: in few words, on one line.
"""

import re
from typing import Any

LONGEST = 80  # characters of a value
LONGEST_WORD = 200


def one_line(text: str) -> str:
    """Return a text without what a terminal would take for more than letters.

    A stretch without a space that is longer than 200 characters loses its middle.
    """
    shown = "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode()
        for each in text
    )
    half = LONGEST_WORD // 2
    return re.sub(
        rf"\S{{{LONGEST_WORD + 1},}}",
        lambda word: f"{word[0][:half]}…{word[0][-half:]}",
        shown,
    )


def in_few_words(value: Any, most: int = LONGEST) -> str:
    """Return a value for an error's line, cut short where it is long."""
    try:
        text = " ".join(repr(value).split())
    except Exception as error:  # such as an integer of more digits than Python writes
        many = " of too many digits" if isinstance(error, ValueError) else ""
        return f"one {type(value).__name__}{many}"
    return text if len(text) <= most else text[: most - 1] + "…"


class NnxError(Exception):
    """The root; its message is one line that says what is wrong and what to do."""

    exit_status = 2

    def __init__(self, message: str = "") -> None:
        """message: may hold what a user gave, such as a path, however it is written."""
        super().__init__(one_line(message))


class InputError(NnxError, ValueError):
    """Settings, data or files that cannot be used.

    Where a ValueError of others is caught, this one goes first, and on as it is.
    """


class WriteError(InputError):
    """A file that cannot be written: the disk is full, or may not be written to."""

    exit_status = 1


class BackendError(NnxError):
    """A backend that cannot be used."""


class UnknownBackendError(BackendError):
    """No installed package offers a backend of this name."""


class MissingLibraryError(BackendError):
    """The backend is known, but its array library is not installed."""


class UnusableBackendError(BackendError):
    """The backend's library is installed, but cannot work here, or no longer can."""


class DivergedError(NnxError):
    """The loss is no longer a finite number."""

    exit_status = 3


class OutOfMemoryError(NnxError):
    """The device or the host has no room for what was asked."""

    exit_status = 4
