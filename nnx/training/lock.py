"""The lock on a run's folder: only one process at a time may train in it."""

import os
import platform
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from nnx.errors import InputError, WriteError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

NAME = ".nnx.lock"
# Offset of the byte that is locked on Windows: past the text, which must be readable.
LOCKED = 1 << 20


class HeldError(InputError):
    """Another process has locked the folder."""


def take(folder: Path, name: str = NAME) -> Callable[[], None]:
    """Lock a folder for this run, and return the function that unlocks it.

    The operating system holds the lock on a file in the folder and drops it when the
    process ends in any way, so a leftover file locks nothing. The file names the
    process that has the lock.

    name: of that file

    Raises:
        HeldError: another run has locked the folder
        WriteError: the file cannot be written
    """
    path = folder / name
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    try:
        while True:
            file = os.open(path, flags, 0o644)
            try:
                _lock(file, path)
                if _is_at(file, path):  # the previous owner did not remove it
                    os.ftruncate(file, 0)
                    os.lseek(file, 0, os.SEEK_SET)
                    os.write(file, f"{os.getpid()} {platform.node()}".encode())
                    return partial(_release, file, path, os.getpid())
            except BaseException:
                os.close(file)
                raise
            os.close(file)
    except OSError as error:
        raise WriteError(f"{path}: cannot be written: {error.strerror}") from None


def _lock(file: int, path: Path) -> None:
    """Lock an open file, or refuse."""
    advice = "wait for it to end, or choose another --out"
    try:
        _lock_by_the_system(file)
    except BlockingIOError:
        raise _refusal(file, path.parent, advice) from None
    except OSError:  # a file system without locks, as some network file systems
        if _is_running(_words(file)):
            advice += f"; if that process no longer exists, remove {path}"
            raise _refusal(file, path.parent, advice) from None


def _lock_by_the_system(file: int) -> None:
    """Lock an open file; raise BlockingIOError if another process has locked it."""
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    msvcrt: Any = import_module("msvcrt")
    os.lseek(file, LOCKED, os.SEEK_SET)
    try:
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    except PermissionError:
        raise BlockingIOError from None


def _words(file: int) -> str:
    """Return the text in the file."""
    os.lseek(file, 0, os.SEEK_SET)
    return os.read(file, 1000).decode(errors="replace")


def _refusal(file: int, folder: Path, advice: str) -> HeldError:
    words = ""
    for _ in range(20):  # a new owner writes its name just after locking
        words = _words(file)
        if words:
            break
        time.sleep(0.01)
    pid, _, host = words.partition(" ")
    who = f"process {pid} on {host}" if host else "another process"
    return HeldError(f"{folder}: {who} is training here; {advice}")


def _is_running(words: str) -> bool:
    """Return whether the process that wrote this may still be running."""
    pid, _, host = words.partition(" ")
    if fcntl is None or host != platform.node() or not pid.isdigit():
        return bool(words)
    try:
        os.kill(int(pid), 0)
    except (OverflowError, ProcessLookupError):
        return False
    except PermissionError:
        pass
    return True


def _is_at(file: int, path: Path) -> bool:
    """Return whether an open file is still at its path; on Windows it always is."""
    if fcntl is None:
        return True
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


def _release(file: int, path: Path, owner: int) -> None:
    """Remove and close the file, which unlocks it; a forked process only closes it."""
    try:
        if os.getpid() == owner and _is_at(file, path):
            os.ftruncate(file, 0)
            os.unlink(path)  # Windows keeps the file; empty means not locked
    except OSError:
        pass  # the folder is gone, or no longer writable
    finally:
        os.close(file)
