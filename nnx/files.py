"""Files: whole or not there, read or refused in one line."""

import os
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from nnx.errors import InputError, in_few_words


def given(path: Any, what: str) -> Path:
    """Return a path that was given from Python.

    what: it is of, in words

    Raises:
        InputError: no text, nor what stands for one; an empty one, one with a NUL, or
            with what no file's name can have
    """
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if isinstance(text, str) and text and "\0" not in text:
        with suppress(UnicodeEncodeError):
            os.fsencode(text)
            return Path(text)
    shown = in_few_words(text) if isinstance(text, str) else f"a {type(path).__name__}"
    raise InputError(f"expected the path of {what}, not {shown}")


def write(path: Path, content: bytes) -> None:
    """Write a file so that a reader finds the old content or the new, never a part.

    Raises:
        InputError: it cannot be written, or there is a folder, a device or a pipe
    """
    with replaced(path, f"{len(content):,} bytes") as file:
        file.write(content)


@contextmanager
def replaced(path: Path, what: str) -> Iterator[IO[bytes]]:
    """Give a file to fill, which takes the old one's place once it is whole.

    A temporary file in the same folder is filled, synchronized with the disk,
    and put in the old one's place. Should the machine stop in between, the next
    write takes up the temporary file that was left. Of a link, what it leads to is
    replaced.

    what: is written, in words

    Raises:
        InputError: as for `write`; whatever is raised inside, the old file stays
    """
    target = Path(os.path.realpath(path))
    if os.path.lexists(target) and not target.is_file():
        there = (
            "a folder" if target.is_dir() else "a device, a pipe or a link to nothing"
        )
        raise InputError(f"{path}: cannot write {what}: it is {there}")
    temporary = target.with_name(f".{target.name}.part")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        raise InputError(f"{path}: cannot write {what}: {error.strerror}") from None
    finally:
        with suppress(OSError):
            os.unlink(temporary)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Refuse a path, by name and in one line, where reading it inside fails."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error).partition("\n")[0]
        raise InputError(f"{path}: cannot be read: {reason}") from error


def read_toml(path: Path) -> dict[str, Any]:
    """Return a TOML file's values; refused where it is not there or not TOML."""
    try:
        with readable(path):
            return tomllib.loads(path.read_text("utf-8-sig"))
    except InputError:
        raise
    except UnicodeDecodeError:
        raise InputError(f"{path}: not TOML: it is no text in UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not TOML: {error}") from None
