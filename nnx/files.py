"""Files: written completely or not at all, and read with one-line errors."""

import errno
import os
import stat
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from nnx.errors import InputError, OutOfMemoryError, WriteError, in_few_words

PACKED = ".gz", ".zip", ".bz2", ".xz", ".zst", ".7z", ".rar", ".tar", ".tgz"
MAX_SETTINGS = 4 << 20  # bytes of a settings file
# Seconds between attempts to replace a file. Windows refuses while another program has
# it open, such as a virus scanner for a moment after it was written.
PAUSES = (0.01, 0.04, 0.15, 0.5, 1.3) if os.name == "nt" else ()


def given(path: Any, what: str) -> Path:
    """Return a path that was given from Python.

    what: description of the file, for the error's message

    Raises:
        InputError: neither a str nor a path of text; an empty path, or one with NUL or
            other characters that a file's name cannot have
    """
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if isinstance(text, str) and text and "\0" not in text:
        with suppress(UnicodeEncodeError):
            os.fsencode(text)
            return Path(text)
    shown = in_few_words(text) if isinstance(text, str) else f"a {type(path).__name__}"
    raise InputError(f"expected the path of {what}, not {shown}")


def other(path: Path) -> str:
    """Describe what is at a path if it is not a regular file; otherwise return "".

    Links are followed. A path that does not exist or cannot be examined gives "", too.
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
    """Write a file atomically: readers find the old content or the new, never a part.

    Raises:
        InputError: the path is a folder, a device or a pipe, or its folder is missing
        WriteError: the file cannot be written to the disk
    """
    with replaced(path, f"{len(content):,} bytes") as file:
        file.write(content)


@contextmanager
def replaced(path: Path, what: str) -> Iterator[IO[bytes]]:
    """Provide an open file that replaces the old one once it is complete.

    It is a temporary file in the same folder, with a unique name, which is synchronized
    with the disk before it replaces the old file. If the machine stops before that, it
    is left behind: see `remove_parts`. If the path is a link, its target is replaced.

    what: description of the content, for the error's message

    Raises:
        InputError, WriteError: as for `write`; after any exception the old file remains
    """
    target = Path(os.path.realpath(path))
    special = other(path)
    if special:
        raise InputError(f"{path}: cannot write {what}: it is {special}")
    if not target.parent.is_dir():
        raise InputError(f"{path}: cannot write {what}: there is no such folder")
    temporary = target.with_name(f".{target.name}.{os.urandom(4).hex()}.part")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _replace(temporary, target)
    except OSError as error:
        raise WriteError(f"{path}: cannot write {what}: {error.strerror}") from None
    finally:
        with suppress(OSError):
            os.unlink(temporary)


def _replace(temporary: Path, target: Path) -> None:
    """Move a file to its place; if refused, try again after each pause."""
    for pause in PAUSES:
        with suppress(PermissionError):
            return os.replace(temporary, target)
        time.sleep(pause)
    return os.replace(temporary, target)


@contextmanager
def holding(folder: Path, what: str) -> Iterator[None]:
    """Turn failures to create or clear a folder inside this context into InputError.

    what: description of the folder's content, for the error's message
    """
    try:
        yield
    except FileExistsError:  # a file, or a link to nothing
        raise InputError(f"{folder}: cannot hold {what}: it is no folder") from None
    except OSError as error:
        raise InputError(f"{folder}: cannot hold {what}: {error.strerror}") from None


def remove_parts(folder: Path, *names: str) -> None:
    """Remove temporary files left in a folder by writers that were killed.

    No writer may be active.

    names: of the files that were to be written, or patterns of names
    """
    for name in names:
        for part in folder.glob(f".{name}.*part"):
            part.unlink(missing_ok=True)


def refuse_packed(path: Path) -> None:
    """Refuse a compressed file or an archive, by its suffix, with InputError."""
    if path.suffix.lower() in PACKED:
        raise InputError(f"{path}: packed: unpack it, and give the file inside")


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn failures to read a path in this context into one-line errors that name it.

    A pipe, a device or a socket is refused before it is opened, because opening or
    reading it may never end.

    Raises:
        InputError: the path does not exist, cannot be read, or is neither a file nor a
            folder
        OutOfMemoryError: there is no memory for what is read
    """
    special = other(path)
    if special not in ("", "a folder"):
        raise InputError(f"{path}: cannot be read: it is {special}, not a regular file")
    try:
        # Since Python 3.14, `Path.exists` is false where examining the path fails.
        with suppress(FileNotFoundError, NotADirectoryError):
            os.stat(path)
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
    """Return the whole content of a file.

    most: largest number of bytes allowed

    Raises:
        InputError: as for `readable`, or the file is larger than that
        OutOfMemoryError: as for `readable`
    """
    with readable(path), open(path, "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise InputError(f"{path}: has over {most:,} bytes, the most that is read")
    return content


def read_toml(path: Path) -> dict[str, Any]:
    """Return the values in a TOML file.

    Raises:
        InputError, OutOfMemoryError: as for `read`, or the file is not TOML
    """
    try:
        return tomllib.loads(read(path, MAX_SETTINGS).decode("utf-8-sig"))
    except InputError:
        raise
    except UnicodeDecodeError:
        raise InputError(f"{path}: not TOML: it is not UTF-8 text") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not TOML: {error}") from None
