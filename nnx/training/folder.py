"""A run's folder, whose files `FILES` describes, and the settings in it."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from itertools import chain, count
from pathlib import Path
from typing import Any

from nnx import files
from nnx.errors import InputError, WriteError
from nnx.model_file import CHECKPOINT_NAME, MODEL_NAME
from nnx.settings import Settings, as_text, complete
from nnx.settings.other_names import RENAMED
from nnx.training import lock

CONFIG_NAME = "config.toml"
LOG_NAME, LOG_JSON_NAME = "log.csv", "log.jsonl"
RESULTS = LOG_NAME, LOG_JSON_NAME, CHECKPOINT_NAME, MODEL_NAME
KEPT_NAMES = "checkpoint-*.safetensors"  # earlier checkpoints, named by step
EVENTS_NAME = "tensorboard"
REPORT_NAME = "report.html"
OF_CLASSES = "curves", "confusion", "weights", "activations", "mistakes", "samples"
PICTURES = (*OF_CLASSES, "labels", "predictions", "residuals")
# Pictures of a finished run, and its report.
DRAWN = (
    REPORT_NAME,
    *(f"{name}.{kind}" for name in PICTURES for kind in ("png", "svg")),
)
# The files in a run's folder, as the command describes them.
FILES = {
    MODEL_NAME: "the network",
    CONFIG_NAME: "the settings, to repeat the run",
    LOG_NAME: "one row per epoch",
    LOG_JSON_NAME: "the same as JSON",
    CHECKPOINT_NAME: "what --resume continues from",
    KEPT_NAMES: "the same of earlier steps",
    EVENTS_NAME: "the log for TensorBoard",
}


def can_resume(folder: Path) -> bool:
    """Return whether a folder holds a checkpoint to resume from."""
    return os.path.exists(folder / CHECKPOINT_NAME)


def is_begun(folder: Path) -> bool:
    """Return whether a folder holds the settings or the checkpoint of a run."""
    return any(os.path.exists(folder / n) for n in (CONFIG_NAME, CHECKPOINT_NAME))


def claim(folder: Path) -> Callable[[], None]:
    """Create and lock a folder; return the function that unlocks it, see `lock.take`.

    Raises:
        InputError: it cannot be created or written to, or another run has locked it
    """
    with files.holding(folder, "a run"):
        folder.mkdir(parents=True, exist_ok=True)
    return lock.take(folder)


def kept(folder: Path) -> list[Path]:
    """Return a folder's earlier checkpoints, without the latest, the oldest first."""
    paths = [path for path in folder.glob(KEPT_NAMES) if path.stem[11:].isdigit()]
    return sorted(paths, key=lambda path: path.stat().st_mtime_ns)


def prepare(folder: Path, *, resume: bool, overwrite: bool) -> None:
    """Prepare a claimed folder for a run.

    Raises:
        InputError: it holds a run, and neither resume nor overwrite is set; there is no
            checkpoint to resume from; it cannot be written to
    """
    results = [name for name in RESULTS if os.path.exists(folder / name)]
    results += [path.name for path in kept(folder)]
    if resume and CHECKPOINT_NAME not in results:
        raise InputError(f"{folder}: no {CHECKPOINT_NAME} here to resume from")
    if results and not resume and not overwrite:
        go_on = "--resume to continue it or " * (CHECKPOINT_NAME in results)
        raise InputError(
            f"{folder}: already holds a run ({', '.join(results)}); choose another "
            f"--out, or add {go_on}--overwrite to replace it"
        )
    if not (results or overwrite or _may_be_replaced(folder / CONFIG_NAME)):
        raise InputError(
            f"{folder}: already holds a {CONFIG_NAME}; choose another --out, or add "
            "--overwrite to replace it"
        )
    with files.holding(folder, "a run"):
        files.remove_parts(folder, *RESULTS, CONFIG_NAME, KEPT_NAMES)
        if results and not resume:
            _check_files(folder)
            for name in (*results, CONFIG_NAME):
                (folder / name).unlink(missing_ok=True)
            remove_events(folder)


def _check_files(folder: Path) -> None:
    """Refuse to replace a run if one of its files cannot be removed.

    The check comes before any file is removed.
    """
    for name in (*RESULTS, CONFIG_NAME, *DRAWN):
        if there := files.other(folder / name):
            raise InputError(
                f"{folder / name}: is {there}, where a run's file would be; choose "
                "another --out"
            )


def remove(folder: Path, *names: str) -> None:
    """Remove files that are outdated when a run continues.

    Raises:
        WriteError: a file cannot be removed
    """
    for name in names:
        if files.other(folder / name):
            continue
        try:
            (folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise WriteError(
                f"{folder / name}: cannot be removed: {error.strerror}"
            ) from None


def remove_events(folder: Path) -> None:
    """Remove the TensorBoard events of the run in a folder."""
    for path in (folder / EVENTS_NAME).glob("events.out.tfevents.*"):
        path.unlink(missing_ok=True)


def _may_be_replaced(path: Path) -> bool:
    """Return whether a settings file is missing, or exactly as a run writes it.

    A run that died before its first checkpoint leaves such a file.
    """
    if not os.path.exists(path):
        return True
    try:
        settings = complete(files.read_toml(path))
    except InputError:
        return False
    return path.read_bytes() == _as_toml(settings)


def save_settings(folder: Path, settings: Settings) -> None:
    """Write a run's settings as TOML."""
    files.write(folder / CONFIG_NAME, _as_toml(settings))


def _as_toml(settings: Mapping[str, Any]) -> bytes:
    import tomli_w

    return tomli_w.dumps(as_text(settings)).encode()


def load_settings(folder: Path) -> Settings:
    """Return the settings of the run in a folder.

    Settings that were renamed since an earlier version get their present names.

    Raises:
        InputError: there is no run, or this version does not accept its settings
    """
    path = folder / CONFIG_NAME
    if not os.path.exists(path):
        raise InputError(f"{folder}: holds no run of nnx: there is no {CONFIG_NAME}")
    config = files.read_toml(path)
    named = {RENAMED.get(name, name): value for name, value in config.items()}
    return complete(named, str(path))


def of_model(model: Path) -> Path:
    """Return the folder of a run, given as that or as a model file in it."""
    return model if model.is_dir() else model.parent


def settings_of(model: Path, *, needed: bool) -> dict[str, Any]:
    """Return the settings of a model's run; empty if its folder holds none.

    needed: refuse a folder without settings, as nothing else names the data

    Raises:
        InputError: as for `load_settings`; settings are needed, and there are none
    """
    folder = of_model(model)
    if (folder / CONFIG_NAME).is_file():
        return {**load_settings(folder)}
    if needed:
        beside = " beside it" * (model != folder)
        raise InputError(
            f"{model}: has no {CONFIG_NAME}{beside} to name the data; give --dataset"
        )
    return {}


def default_folder(name: str) -> Path:
    """Create and return a folder runs/<name>-<time> that did not exist before."""
    stem = f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    ends = chain([""], (f"-{i}" for i in count(2)))
    return next(path for end in ends if _is_new(path := Path("runs", stem + end)))


def discard(folder: Path) -> None:
    """Remove a default folder that stayed empty, but for the lock's file on Windows."""
    with suppress(OSError):
        (folder / lock.NAME).unlink()
    for each in folder, folder.parent:
        with suppress(OSError):
            each.rmdir()


def _is_new(folder: Path) -> bool:
    """Create a folder; return False if it exists already."""
    with files.holding(folder, "a run"), suppress(FileExistsError):
        folder.mkdir(parents=True)
        return True
    return False
