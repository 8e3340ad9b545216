"""When a run is saved, and which of its checkpoints are kept."""

from pathlib import Path
from typing import NamedTuple

from nnx import files
from nnx.model_file import CHECKPOINT_NAME
from nnx.settings import Settings
from nnx.training.folder import kept
from nnx.training.plan import Position

# An epoch's end is saved once so many times has passed what saving took the last time:
# short epochs lose a twentieth of their time to it, and not most.
PAUSE = 20


class Saved(NamedTuple):
    """How far a run is saved.

    step, epochs: done in what was saved, or where the run began
    at: when that was, in seconds
    took: seconds
    """

    step: int
    epochs: int
    at: float
    took: float = 0.0

    @classmethod
    def now(cls, position: Position, at: float, took: float = 0.0) -> "Saved":
        """Return the record of a position that is saved."""
        return cls(position.state.step, len(position.log), at, took)


def is_saved(saved: Saved, position: Position) -> bool:
    """Return whether there is nothing new at a position."""
    return saved[:2] == (position.state.step, len(position.log))


def is_due(saved: Saved, position: Position, settings: Settings, now: float) -> bool:
    """Return whether a run should be saved where it is.

    now: in seconds, of the clock of `saved.at`
    """
    pause, every = now - saved.at, settings["checkpoint_steps"]
    return (
        pause >= settings["checkpoint_seconds"]
        or (len(position.log) > saved.epochs and pause >= PAUSE * saved.took)
        or (every > 0 and position.state.step // every > saved.step // every)
    )


def keep(folder: Path, step: int, count: int) -> None:
    """Keep the checkpoint in a folder beside the one that is about to replace it.

    step: what the checkpoint is called by
    count: of checkpoints that are to be there then, with the new one
    """
    latest = folder / CHECKPOINT_NAME
    if count > 1 and latest.exists():
        files.write(folder / f"checkpoint-{step}.safetensors", latest.read_bytes())
    earlier = kept(folder)
    for path in earlier[: max(0, len(earlier) - (count - 1))]:
        path.unlink(missing_ok=True)
