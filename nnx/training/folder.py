"""A run's folder: its settings, log, checkpoint and model.

config.toml             the settings, enough to do the run again
log.csv                 a row for each epoch
checkpoint.safetensors  the latest position, from which `--resume` goes on
model.safetensors       the network, once the run is done or was stopped
"""

import csv
import io
import os
from dataclasses import asdict
from datetime import datetime
from itertools import chain, count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nnx import files, model_file
from nnx.backend import Backend
from nnx.errors import InputError
from nnx.maths.steps import State
from nnx.model_file import CHECKPOINT_NAME, MODEL_NAME, Model, Stored
from nnx.network import to_device, to_host
from nnx.settings import Config, Training, config_from
from nnx.training.loop import Position, Row

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
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in held if not resume else []:
            (folder / name).unlink()
    except OSError as error:
        raise InputError(f"{folder}: cannot hold a run: {error.strerror}") from None


def save_config(folder: Path, config: Config) -> None:
    """Write a run's settings as TOML."""
    import tomli_w

    files.write(folder / CONFIG_NAME, tomli_w.dumps(asdict(config)).encode())


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
        state, to_numpy = position.state, self.backend.to_numpy
        arrays = {
            "loss_sum": np.asarray(to_numpy(state.loss_sum)),
            "hits": np.asarray(to_numpy(state.hits)),
        }
        extra = {
            "training": asdict(self.training),
            "data": self.digest,
            "epoch": position.epoch,
            "step": position.step,
            "seconds": position.seconds,
            "log": position.log,
        }
        model = self.model._replace(layers=to_host(state.layers, self.backend))
        model_file.save(self.folder / CHECKPOINT_NAME, model, arrays, extra)
        files.write(self.folder / LOG_NAME, _csv(position.log))

    def load(self) -> Position:
        """Return the position to go on from, on the device.

        Refused: a checkpoint of another network, of other settings or other data.
        """
        path = self.folder / CHECKPOINT_NAME
        stored = model_file.load(path)
        try:
            self._check_same(path, stored)
            return self._position(stored)
        except (KeyError, TypeError) as error:
            raise InputError(f"{path}: not a checkpoint ({error!r})") from None

    def _position(self, stored: Stored) -> Position:
        extra, arrays, move = stored.extra, stored.arrays, self.backend.from_numpy
        return Position(
            state=State(
                to_device(stored.model.layers, self.backend),
                move(arrays["loss_sum"]),
                move(arrays["hits"]),
            ),
            epoch=extra["epoch"],
            step=extra["step"],
            seconds=extra["seconds"],
            log=tuple(Row(*row) for row in extra["log"]),
        )

    def _check_same(self, path: Path, stored: Stored) -> None:
        extra = stored.extra
        found = _described(stored.model) | extra["training"] | {"data": extra["data"]}
        wanted = _described(self.model) | asdict(self.training) | {"data": self.digest}
        _refuse_changes(path, found, wanted)


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
