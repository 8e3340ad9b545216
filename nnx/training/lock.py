"""The lock on a run's folder: one process trains in it, and no second one."""

import os
import platform
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from nnx.errors import InputError

try:
    import fcntl
except ImportError:  # Windows: what is written in the file has to do
    fcntl = None  # type: ignore[assignment]

NAME = ".nnx.lock"


class HeldError(InputError):
    """Another process has the folder."""


def take(folder: Path, name: str = NAME) -> Callable[[], None]:
    """Return what gives a folder free again, which is this run's until then.

    The lock is the system's, on a file in the folder, and ends with the process however
    that ends: a file that was left is no lock. Who has it is written in the file.

    name: of that file

    Raises:
        HeldError: another run has the folder
        InputError: nothing can be written there
    """
    path = folder / name
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    try:
        while True:
            file = os.open(path, flags, 0o644)
            try:
                _lock(file, path)
                if _is_at(file, path):  # and was not removed by who had it before
                    os.ftruncate(file, 0)
                    os.write(file, f"{os.getpid()} {platform.node()}".encode())
                    return partial(_release, file, path, os.getpid())
            except BaseException:
                os.close(file)
                raise
            os.close(file)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None


def _lock(file: int, path: Path) -> None:
    """Lock an open file, or refuse."""
    advice = "wait for its end, or choose another --out"
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
    except BlockingIOError:
        raise _refusal(file, path.parent, advice) from None
    except OSError:
        pass  # a file system without locks, as some of networks are
    if _is_running(os.pread(file, 1000, 0).decode(errors="replace")):
        advice += f"; if there is no such process any more, remove {path}"
        raise _refusal(file, path.parent, advice)


def _refusal(file: int, folder: Path, advice: str) -> HeldError:
    words = ""
    for _ in range(20):  # who has just taken it is about to write
        words = os.pread(file, 1000, 0).decode(errors="replace")
        if words:
            break
        time.sleep(0.01)
    pid, _, host = words.partition(" ")
    who = f"process {pid} on {host}" if host else "another process"
    return HeldError(f"{folder}: {who} trains here; {advice}")


def _is_running(words: str) -> bool:
    """Return whether the process that wrote this may be there still."""
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
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


def _release(file: int, path: Path, owner: int) -> None:
    """Remove and close the file, which unlocks it; in a copy of the process, close."""
    try:
        if os.getpid() == owner and _is_at(file, path):
            os.ftruncate(file, 0)
            os.unlink(path)
    except OSError:
        pass  # the folder is gone, or cannot be written any more
    finally:
        os.close(file)
