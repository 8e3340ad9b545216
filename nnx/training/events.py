"""A run's log for TensorBoard: a file of events, written with tensorboardX.

Events are written synchronously and not by tensorboardX's own thread. On a full disk
that thread would end, and the run would wait forever for it to take the next event.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

from nnx.errors import InputError, WriteError
from nnx.training.folder import EVENTS_NAME, remove_events
from nnx.training.log import Row
from nnx.training.plan import Position

FLUSH_SECONDS = 5


def require(folder: Path | None) -> None:
    """Refuse to write events if that is impossible.

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
    """Provide a function that writes an epoch's row, with the epoch as its step.

    Earlier rows are written again to a new file, so a resumed run has each row once.

    Raises:
        WriteError: the events cannot be written to the disk
    """
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.summary import scalar

    path, began = folder / EVENTS_NAME, time.time() - position.seconds
    with _on_disk(path):
        remove_events(folder)
        path.mkdir(exist_ok=True)
        writer = EventsWriter(str(path / "events"))
    flushed = time.monotonic()

    def write(row: Row) -> None:
        nonlocal flushed
        how = {"step": row.epoch, "wall_time": began + row.seconds}
        with _on_disk(path):
            for name, value in row.named.items():
                part, _, of = name.partition("_")
                if of and value is not None:
                    summary = scalar(f"{of}/{part}", value)
                    writer.write_event(Event(summary=summary, **how))
            if time.monotonic() > flushed + FLUSH_SECONDS:
                writer.flush()
                flushed = time.monotonic()

    try:
        for row in position.log:
            write(row)
        yield write
    except BaseException:
        with suppress(OSError):  # report what ended the run, not what follows from it
            writer.close()
        raise
    with _on_disk(path):
        writer.close()


@contextmanager
def _on_disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WriteError(f"{path}: cannot write events: {error.strerror}") from None
