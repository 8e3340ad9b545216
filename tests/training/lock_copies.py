"""A program that copies itself by fork, to see who has the lock on a folder."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from nnx.errors import InputError
from nnx.training import lock


def in_copies(count: int, act: Callable[[], bool]) -> list[int]:
    """Return what came of it, 0 or 1 and 2 for an error, in so many forked processes.

    All act at once, and end together.
    """
    begin, done, end = pipes = os.pipe(), os.pipe(), os.pipe()
    children = []
    for _ in range(count):
        child = os.fork()
        if child == 0:
            status = 2
            try:
                signal.alarm(20)
                os.read(begin[0], 1)
                status = int(act())
                os.write(done[1], b"x")
                os.read(end[0], 1)
            finally:
                os._exit(status)
        children.append(child)
    os.write(begin[1], b"x" * count)
    for _ in range(count):
        os.read(done[0], 1)
    os.write(end[1], b"x" * count)
    for each in sum(pipes, ()):
        os.close(each)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def is_refused(folder: Path) -> bool:
    """Take the lock, and return whether another has it."""
    try:
        lock.take(folder)
    except InputError:
        return True
    return False


def many(folder: Path) -> None:
    """Print, five times, how many of six that begin at once are refused."""
    for _ in range(5):
        print(sorted(in_copies(6, lambda: is_refused(folder))))


def copy(folder: Path) -> None:
    """Print whether the folder is locked still, once a copy has given it free."""
    release = lock.take(folder)
    print(in_copies(1, lambda: bool(release())))
    try:
        lock.take(folder)
    except InputError as error:
        print("refused" if f"process {os.getpid()} on " in str(error) else error)
    release()
    lock.take(folder)()


if __name__ == "__main__":
    {"many": many, "copy": copy}[sys.argv[1]](Path(sys.argv[2]))
