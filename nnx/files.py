"""Files: whole or not there, read or refused in one line."""

import errno
import os
import stat
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from nnx.errors import InputError, OutOfMemoryError, WriteError, in_few_words

MAX_SETTINGS = 4 << 20  # bytes of a settings file


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


def other(path: Path) -> str:
    """Return, in words, what is at a path where it is no regular file; or "".

    Links are followed; of what is not there, or may not be looked at, it is "" too.
    """
    try:
        kind = stat.S_IFMT(os.stat(path).st_mode)
    except OSError as error:
        return "a link without an end" if error.errno == errno.ELOOP else ""
    kinds = {
        stat.S_IFREG: "",
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(kind, "a device")


def write(path: Path, content: bytes) -> None:
    """Write a file so that a reader finds the old content or the new, never a part.

    Raises:
        InputError: there is a folder, a device or a pipe, or no folder for it
        WriteError: the disk does not take it
    """
    with replaced(path, f"{len(content):,} bytes") as file:
        file.write(content)


@contextmanager
def replaced(path: Path, what: str) -> Iterator[IO[bytes]]:
    """Give a file to fill, which takes the old one's place once it is whole.

    A temporary file in the same folder, of a name that no other writer has, is filled,
    synchronized with the disk, and put in the old one's place. Should the machine stop
    in between, it is left: see `remove_parts`. Of a link, what it leads to is replaced.

    what: is written, in words

    Raises:
        InputError, WriteError: as for `write`; whatever is raised, the old file stays
    """
    target = Path(os.path.realpath(path))
    there = other(path)
    if not there and not target.parent.is_dir():
        raise InputError(f"{path}: cannot write {what}: there is no such folder")
    if there:
        raise InputError(f"{path}: cannot write {what}: it is {there}")
    temporary = target.with_name(f".{target.name}.{os.urandom(4).hex()}.part")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        raise WriteError(f"{path}: cannot write {what}: {error.strerror}") from None
    finally:
        with suppress(OSError):
            os.unlink(temporary)


def remove_parts(folder: Path, *names: str) -> None:
    """Remove what writers of files in a folder have left that were killed.

    None may be at work.

    names: of the files; a pattern is of many
    """
    for name in names:
        for part in folder.glob(f".{name}.*part"):
            part.unlink(missing_ok=True)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Refuse a path, by name and in one line, where reading it inside fails.

    A pipe, a device or a socket is refused before it is opened, as opening or reading
    it may have no end.

    Raises:
        InputError: it is not there, may not be read, or is neither file nor folder
        OutOfMemoryError: what is read has no room
    """
    there = other(path)
    if there not in ("", "a folder"):
        raise InputError(f"{path}: cannot be read: it is {there}, and no regular file")
    try:
        yield
    except MemoryError:
        raise OutOfMemoryError(f"{path}: {_no_room(path)}") from None
    except OSError as error:
        if error.errno == errno.ENOMEM:
            raise OutOfMemoryError(f"{path}: {_no_room(path)}") from None
        reason = error.strerror or str(error).partition("\n")[0]
        raise InputError(f"{path}: cannot be read: {reason}") from error


def _no_room(path: Path) -> str:
    size = f"{os.stat(path).st_size:,} bytes" if path.is_file() else "what is in it"
    return f"out of memory: there is no room to read {size}"


def read(path: Path, most: int) -> bytes:
    """Return a file's content, which is all read at once.

    most: bytes that it may have

    Raises:
        InputError, OutOfMemoryError: as for `readable`; a larger file
    """
    with readable(path), open(path, "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise InputError(f"{path}: has over {most:,} bytes, the most that is read")
    return content


def read_toml(path: Path) -> dict[str, Any]:
    """Return a TOML file's values; refused where it is not there or not TOML."""
    try:
        return tomllib.loads(read(path, MAX_SETTINGS).decode("utf-8-sig"))
    except InputError:
        raise
    except UnicodeDecodeError:
        raise InputError(f"{path}: not TOML: it is no text in UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not TOML: {error}") from None
