"""Many processes as one command: only the first prints, and they end together."""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from nnx.cli import show
from nnx.cli.signals import by_the_system
from nnx.errors import NnxError

if TYPE_CHECKING:
    from nnx.maths.shards import Communicator


@contextmanager
def together(name: str) -> Iterator["Communicator"]:
    """Provide the communicator of this name; only the first process prints.

    An error in all processes ends each as usual. An error in some is printed by these,
    and ends all others.
    """
    from nnx.communicator import find

    with by_the_system():  # MPI waits for all processes, one of which may have failed
        communicator = find(name)
    streams = sys.stdout, sys.stderr
    if communicator.rank > 0:
        sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    try:
        yield communicator
    except typer.Exit:
        raise
    except Exception as error:
        if communicator.are_ending():
            raise
        sys.stdout, sys.stderr = streams
        if isinstance(error, NnxError):
            show.note(f"nnx: process {communicator.rank}: {error}")
        else:
            traceback.print_exc()
        sys.stderr.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # hides MPI's own message
        communicator.abort(getattr(error, "exit_status", NnxError.exit_status))
