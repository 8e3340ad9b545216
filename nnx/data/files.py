"""What the operating system refuses, said in one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nnx.errors import InputError


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Refuse a path, by name and in one line, where reading it inside fails."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path}: cannot be read: {reason}") from error
