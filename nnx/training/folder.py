"""A run's folder: its settings, log, checkpoint and model.

config.toml             the settings, enough to do the run again
log.csv                 a row for each epoch
checkpoint.safetensors  the latest position, from which `--resume` goes on
model.safetensors       the network, once the run is done or was stopped
"""

import csv
import io
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from itertools import chain, count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nnx import files, model_file
from nnx.backend import Backend
from nnx.data.dataset import Array
from nnx.errors import InputError
from nnx.model_file import CHECKPOINT_NAME, MODEL_NAME, Model, Stored
from nnx.network import to_host
from nnx.settings import Config, Training, config_from
from nnx.training import loop
from nnx.training.log import Row
from nnx.training.run import Position

CONFIG_NAME = "config.toml"
LOG_NAME = "log.csv"
RESULTS = LOG_NAME, CHECKPOINT_NAME, MODEL_NAME
# A run may be resumed for longer; anything else would make it another run.
MAY_CHANGE = {"epochs"}


def prepare(folder: Path, *, resume: bool = False, overwrite: bool = False) -> None:
    """Make the folder ready; refuse one that holds a run, unless told what to do."""
    held = [name for name in RESULTS if os.path.exists(folder / name)]
    if resume and CHECKPOINT_NAME not in held:
        raise InputError(
            f"{folder}: no {CHECKPOINT_NAME} here to resume from; "
            "begin the run, without --resume"
        )
    if held and not resume and not overwrite:
        raise InputError(
            f"{folder}: already holds a run ({', '.join(held)}); choose another "
            "--out, or add --resume to go on with it or --overwrite to replace it"
        )
    if not (held or resume or overwrite or _may_be_replaced(folder / CONFIG_NAME)):
        raise InputError(
            f"{folder}: already holds a {CONFIG_NAME}; choose another --out, or add "
            "--overwrite to replace it"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (*held, CONFIG_NAME) if held and not resume else ():
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot hold a run: {error.strerror}") from None


def _may_be_replaced(path: Path) -> bool:
    """Return whether a file is not there, or is all that a run that died has left."""
    if not os.path.exists(path):
        return True
    try:
        config = config_from(files.read_toml(path))
    except InputError:
        return False
    return path.read_bytes() == _as_toml(config)


def save_config(folder: Path, config: Config) -> None:
    """Write a run's settings as TOML."""
    files.write(folder / CONFIG_NAME, _as_toml(config))


def _as_toml(config: Config) -> bytes:
    import tomli_w

    return tomli_w.dumps(asdict(config)).encode()


def load_config(folder: Path) -> Config:
    """Return the settings of the run in a folder."""
    if not os.path.exists(folder / CONFIG_NAME):
        raise InputError(f"{folder}: holds no run: there is no {CONFIG_NAME}")
    return config_from(files.read_toml(folder / CONFIG_NAME), str(folder / CONFIG_NAME))


def check_resumed(folder: Path, config: Config) -> None:
    """Refuse settings that would make another run of the one in a folder."""
    # The data are compared by their content, and may have been moved.
    moved = {"dataset", "data_dir", "backend", "precision"}
    now = {name: v for name, v in asdict(config).items() if name not in moved}
    _refuse_changes(folder / CONFIG_NAME, asdict(load_config(folder)), now)


def default_folder(dataset: str) -> Path:
    """Return runs/<dataset>-<time>, one that is not there yet."""
    stem = f"{dataset}-{datetime.now():%Y%m%d-%H%M%S}"
    ends = chain([""], (f"-{i}" for i in count(2)))
    numbered = (Path("runs", stem + end) for end in ends)
    return next(path for path in numbered if not path.exists())


class Keeper(NamedTuple):
    """A folder, and what tells its run from another.

    model: the network as it was first
    digest: of the data
    """

    folder: Path
    model: Model
    training: Training
    digest: str
    backend: Backend

    def save(self, position: Position) -> None:
        """Write the position and, from it, the log."""
        held = position.state, position.best
        arrays = {
            name: np.asarray(self.backend.to_numpy(array))
            for name, array in named(held, "state")
        }
        extra = {
            "training": asdict(self.training),
            "data": self.digest,
            "epoch": position.epoch,
            "step": position.step,
            "seconds": position.seconds,
            "log": position.log,
        }
        layers = loop.in_use(position.state, self.backend)
        model = self.model._replace(layers=to_host(layers, self.backend))
        model_file.save(self.folder / CHECKPOINT_NAME, model, arrays, extra)
        files.write(self.folder / LOG_NAME, _csv(position.log))

    def load(self, begun: Position) -> Position:
        """Return the position to go on from, on the device.

        begun: the position at which the run began, whose form it has

        Refused: a checkpoint of another network, of other settings or other data, or
        beyond the last epoch.
        """
        path = self.folder / CHECKPOINT_NAME
        stored = model_file.load(path)
        try:
            self._check_same(path, stored)
            position = self._position(stored, begun)
        except (KeyError, TypeError) as error:
            raise InputError(f"{path}: not a checkpoint ({error!r})") from None
        if (position.epoch, position.step) > (self.training.epochs, 0):
            raise InputError(
                f"{path}: is beyond epoch {position.epoch} already; epochs cannot be "
                f"{self.training.epochs}"
            )
        return position

    def _position(self, stored: Stored, begun: Position) -> Position:
        extra, plain = stored.extra, loop.in_use(begun.state, self.backend)
        best = plain if any(n.startswith("state.1.") for n in stored.arrays) else None
        state, best = filled((begun.state, best), "state", stored.arrays, self.backend)
        return Position(
            state=state,
            best=best,
            epoch=extra["epoch"],
            step=extra["step"],
            seconds=extra["seconds"],
            log=tuple(Row(*row) for row in extra["log"]),
        )

    def _check_same(self, path: Path, stored: Stored) -> None:
        extra = stored.extra
        found = _described(stored.model) | extra["training"] | {"data": extra["data"]}
        # As JSON has it, which knows no tuples.
        training = json.loads(json.dumps(asdict(self.training)))
        wanted = _described(self.model) | training | {"data": self.digest}
        _refuse_changes(path, found, wanted)


def named(tree: Any, name: str) -> Iterator[tuple[str, Array]]:
    """Yield every array of nested tuples and lists, with its place as a name."""
    if isinstance(tree, tuple | list):
        names = getattr(tree, "_fields", range(len(tree)))
        for part, value in zip(names, tree, strict=True):
            yield from named(value, f"{name}.{part}")
    elif tree is not None:
        yield name, tree


def filled(tree: Any, name: str, arrays: dict[str, Array], backend: Backend) -> Any:
    """Return the same form, on the device, with the arrays that have these names.

    Refused: KeyError for one that is missing, TypeError for another shape or dtype.
    """
    if isinstance(tree, tuple | list):
        names = getattr(tree, "_fields", range(len(tree)))
        parts = [
            filled(value, f"{name}.{part}", arrays, backend)
            for part, value in zip(names, tree, strict=True)
        ]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    if tree is None:
        return None
    like = backend.to_numpy(tree)
    if arrays[name].shape != like.shape or arrays[name].dtype != like.dtype:
        raise TypeError(f"{name} is {arrays[name].dtype}{arrays[name].shape}")
    return backend.from_numpy(arrays[name])


def _refuse_changes(path: Path, was: dict[str, Any], now: dict[str, Any]) -> None:
    different = [
        f"{name} (was {was.get(name)}, now {value})"
        for name, value in now.items()
        if name not in MAY_CHANGE and was.get(name) != value
    ]
    if different:
        raise InputError(
            f"{path}: is of another run, which differs in {', '.join(different)}"
        )


def _described(model: Model) -> dict[str, Any]:
    return {
        "network": str(model),
        "activations": list(model.activations),
        "dtype": model.layers[0].weight.dtype.name,
    }


def _csv(log: tuple[Row, ...]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Row._fields)
    for row in log:
        writer.writerow([*row[:-1], f"{row.seconds:.3f}"])
    return text.getvalue().encode()
