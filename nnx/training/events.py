"""A run's log for TensorBoard: a file of events, which tensorboardX writes."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from nnx.errors import InputError
from nnx.training.folder import EVENTS_NAME, remove_events
from nnx.training.log import Row
from nnx.training.plan import Position

FLUSH_SECONDS = 5


def require(folder: Path | None) -> None:
    """Refuse to write events where that cannot be done.

    Raises:
        InputError: there is no folder to write to, or tensorboardX is not installed
    """
    if folder is None:
        raise InputError("tensorboard needs a folder to write to: give out")
    if find_spec("tensorboardX") is None:
        raise InputError(
            "tensorboard needs a library: pip install 'nnx-mlp[tensorboard]'"
        )


@contextmanager
def written(folder: Path, position: Position) -> Iterator[Callable[[Row], None]]:
    """Give a function that writes an epoch's row as a step of that number.

    The rows so far are written anew, so that a resumed run has each of them once.
    """
    from tensorboardX import SummaryWriter

    remove_events(folder)
    began = time.time() - position.seconds
    path = str(folder / EVENTS_NAME)
    with SummaryWriter(path, flush_secs=FLUSH_SECONDS) as writer:

        def write(row: Row) -> None:
            for name, value in row.named.items():
                part, _, of = name.partition("_")
                if of and value is not None:
                    when = began + row.seconds
                    writer.add_scalar(f"{of}/{part}", value, row.epoch, walltime=when)

        for row in position.log:
            write(row)
        yield write
