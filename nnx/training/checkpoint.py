"""A run's checkpoint: its position, and what identifies the run."""

import json
import operator
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nnx import model_file
from nnx.backend import Backend
from nnx.communicator import first_rank
from nnx.data.dataset import IN_MEMORY, Array, Dataset
from nnx.data.digest import digest
from nnx.errors import InputError
from nnx.maths.arrays import map_arrays, named_arrays
from nnx.maths.network import inference_layers
from nnx.model_file import CHECKPOINT_NAME, Stored
from nnx.network import Network
from nnx.settings import as_text, complete
from nnx.settings.table import DTYPES
from nnx.training import log
from nnx.training.finite import check_arrays
from nnx.training.plan import Plan, Position

if TYPE_CHECKING:
    from nnx.training.run import Run

DIGITS = 16  # hexadecimal digits of the data's digest
LONGEST = 1e10  # seconds of a run; float64 resolves a step's milliseconds up to here
# These may change on resuming: more epochs, another machine, or moved data, which are
# compared by content. Any other change would make it a different run.
MAY_CHANGE = {
    "epochs", "dataset", "data_dir", "test_data", "validation_data", "backend",
    "precision", "dtype", "checkpoint_seconds", "checkpoint_steps", "keep_checkpoints",
    "debug_nan",
}  # fmt: skip
# Changes to these change the rounding.
ROUNDS = "backend", "precision", "dtype"


def save(path: Path, run: "Run") -> None:
    """Write a run's checkpoint: a model file that also holds the run's position.

    Its network is the one that the run would return if it ended here.

    Raises:
        DivergedError: the position is not finite; an existing file is left unchanged
    """
    backend, position = run.backend, run.position
    check_arrays(run.plan, position)
    arrays = {name: backend.to_numpy(array) for name, array in _named(position)}
    extra = {
        "settings": as_text(run.settings),
        "data": run.digest,
        "step": position.state.step,
        "seconds": position.seconds,
        "log": position.log,
    }
    layers = position.best or inference_layers(position.state, xp=backend.xp)
    network = run.network.replace(layers=map_arrays(backend.to_numpy, layers))
    model_file.save(path, vars(network), arrays, extra)


def load(path: Path, run: "Run") -> tuple[Position, tuple[str, ...]]:
    """Return the position in a checkpoint, on the device, for a run to continue from.

    run: at its initial position
    returns: the position, and descriptions of the changes that affect rounding

    Raises:
        InputError: the checkpoint is of another network, other settings or other
            data, or beyond the last epoch
    """
    stored = first_rank(run.communicator, partial(model_file.load, path))
    if "training" in stored.extra and "settings" not in stored.extra:
        raise InputError(
            f"{path}: of a run of an earlier nnx, which cannot be resumed; the network "
            "in it can be used, and --overwrite starts anew"
        )
    try:
        rounds = _check_same(path, stored, run)
        position = _position(stored, run.position, run.backend, run.plan.metric)
        _check_place(position, run.plan)
    except InputError:
        raise
    except model_file.NO_DESCRIPTION as error:
        raise InputError(f"{path}: not a checkpoint ({error!r})") from None
    epochs = run.settings["epochs"]
    if position.state.step > epochs * run.plan.steps_per_epoch:
        raise InputError(
            f"{path}: is already beyond epoch {len(position.log)}; epochs cannot be "
            f"{epochs}"
        )
    return position, rounds


# Names of arrays in files of earlier versions of nnx.
RENAMED = {"state.score_sum": "state.correct"}


def is_of(folder: Path, data: Dataset) -> bool:
    """Return whether a run's checkpoint belongs to this data; True if none can tell.

    That is so without a checkpoint, or without a validation set that was in memory.
    """
    path = folder / CHECKPOINT_NAME
    if not path.is_file():
        return True
    extra = model_file.load(path).extra
    had = extra.get("settings", {}).get("validation_data")
    if had == IN_MEMORY and data.validation is None:
        return True
    return bool(extra.get("data") == digest(data)[:DIGITS])


def _check_same(path: Path, stored: Stored, run: "Run") -> tuple[str, ...]:
    """Refuse the checkpoint of another run; return the changes that affect rounding."""
    network = Network.of(**stored.network)
    then = _described(network, stored.extra["settings"], stored.extra["data"])
    now = _described(run.network, as_text(run.settings), run.digest)
    usual = as_text(complete({}))  # for settings that earlier versions did not have
    different = {
        name: f"{name} (was {then.get(name)}, now {value})"
        for name, value in now.items()
        if then.get(name, usual.get(name)) != value
    }
    if refused := [
        words for name, words in different.items() if name not in MAY_CHANGE
    ]:
        raise InputError(
            f"{path}: is of another run, which differs in {', '.join(refused)}"
        )
    return tuple(different[name] for name in ROUNDS if name in different)


def _check_place(position: Position, plan: Plan) -> None:
    """Refuse, with ValueError, a position that no run of this plan reaches."""
    step, epochs = position.state.step, len(position.log)
    if not 0 <= plan.steps_done(position) < plan.steps_per_epoch:
        raise ValueError(f"step {step} is not in epoch {epochs + 1}")
    began = position.log[-1].seconds if position.log else 0.0
    if not 0.0 <= began <= position.seconds <= LONGEST:
        raise ValueError(f"{position.seconds} seconds, of which {began} in its log")


def _position(
    stored: Stored, begun: Position, backend: Backend, metric: str
) -> Position:
    """Return the position in a file, whose arrays have the form of those in `begun`.

    metric: of the log
    """
    extra, plain = stored.extra, inference_layers(begun.state, xp=backend.xp)
    has_best = any(name.startswith("best.") for name in stored.arrays)
    form = begun._replace(best=plain if has_best else None)
    names = (name for name, _ in _named(form))

    def read(like: Array) -> Array:
        name, like = next(names), np.asarray(backend.to_numpy(like))
        array = stored.arrays[
            name if name in stored.arrays else RENAMED.get(name, name)
        ]
        kinds = {array.dtype.name, like.dtype.name}
        if array.shape != like.shape or not (len(kinds) == 1 or kinds == {*DTYPES}):
            raise TypeError(f"{name} is {array.dtype}{array.shape}")
        return backend.from_numpy(array.astype(like.dtype, copy=False))

    state, best = map_arrays(read, (_arrays_of(form), form.best))
    return Position(
        state=state._replace(step=operator.index(extra["step"])),
        seconds=float(extra["seconds"] * 1.0),
        log=log.restored(extra["log"], metric),
        best=best,
    )


def _arrays_of(position: Position) -> Any:
    state: Any = position.state
    return state._replace(step=None)


def _named(position: Position) -> Iterator[tuple[str, Array]]:
    """Yield the position's arrays with their names, in the order of the tree."""
    yield from named_arrays(_arrays_of(position), "state")
    yield from named_arrays(position.best, "best")


def _described(network: Network, settings: dict[str, Any], data: str) -> dict[str, Any]:
    """Return what identifies a run, with lists for tuples, as in JSON."""
    described: dict[str, Any] = json.loads(json.dumps(settings))
    return described | {
        "network": str(network),
        "activations": list(network.activation),
        "dtype": network.layers[0].weight.dtype.name,
        "data": data,
    }
