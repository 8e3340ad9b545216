"""When a run is saved, and which of its checkpoints are kept."""

from pathlib import Path
from typing import NamedTuple

from nnx import files
from nnx.model_file import CHECKPOINT_NAME
from nnx.settings import Settings
from nnx.training.folder import kept
from nnx.training.plan import Position

# The end of an epoch is saved only if at least so many times the duration of the last
# save has passed. Short epochs then spend a twentieth of their time on it, not most.
PAUSE = 20


class Saved(NamedTuple):
    """The last save of a run.

    step, epochs: done at the last save, or at the start of the run
    at: time of the save, in seconds
    took: duration of the save, in seconds
    """

    step: int
    epochs: int
    at: float
    took: float = 0.0

    @classmethod
    def now(cls, position: Position, at: float, took: float = 0.0) -> "Saved":
        """Return the record of a position just saved."""
        return cls(position.state.step, len(position.log), at, took)


def is_saved(saved: Saved, position: Position) -> bool:
    """Return whether a position is the last one saved."""
    return saved[:2] == (position.state.step, len(position.log))


def is_due(saved: Saved, position: Position, settings: Settings, now: float) -> bool:
    """Return whether a run should be saved at its present position.

    now: in seconds, by the clock of `saved.at`
    """
    pause, every = now - saved.at, settings["checkpoint_steps"]
    return (
        pause >= settings["checkpoint_seconds"]
        or (len(position.log) > saved.epochs and pause >= PAUSE * saved.took)
        or (every > 0 and position.state.step // every > saved.step // every)
    )


def keep(folder: Path, step: int, count: int) -> None:
    """Copy a folder's checkpoint, which is about to be replaced; remove old copies.

    step: names the copy
    count: of checkpoints to keep, including the new one
    """
    latest = folder / CHECKPOINT_NAME
    if count > 1 and latest.exists():
        files.write(folder / f"checkpoint-{step}.safetensors", latest.read_bytes())
    earlier = kept(folder)
    for path in earlier[: max(0, len(earlier) - (count - 1))]:
        path.unlink(missing_ok=True)
