"""A run's folder, and the settings in it: `FILES` says what there is."""

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
KEPT_NAMES = "checkpoint-*.safetensors"  # earlier checkpoints, by their steps
EVENTS_NAME = "tensorboard"
REPORT_NAME = "report.html"
OF_CLASSES = "curves", "confusion", "weights", "activations", "mistakes", "samples"
PICTURES = (*OF_CLASSES, "labels", "predictions", "residuals")
# What is drawn of a run when it is done.
DRAWN = (
    REPORT_NAME,
    *(f"{name}.{kind}" for name in PICTURES for kind in ("png", "svg")),
)
# What lies in a run's folder, as the command tells it.
FILES = {
    MODEL_NAME: "the network",
    CONFIG_NAME: "the settings, to do the run again",
    LOG_NAME: "a row for each epoch",
    LOG_JSON_NAME: "the same as JSON",
    CHECKPOINT_NAME: "from which --resume goes on",
    KEPT_NAMES: "the same of earlier steps",
    EVENTS_NAME: "the log for TensorBoard",
}


def can_resume(folder: Path) -> bool:
    """Return whether a folder holds what a run can be gone on with."""
    return os.path.exists(folder / CHECKPOINT_NAME)


def is_begun(folder: Path) -> bool:
    """Return whether a folder holds the settings of a run, or a checkpoint of one."""
    return any(os.path.exists(folder / n) for n in (CONFIG_NAME, CHECKPOINT_NAME))


def claim(folder: Path) -> Callable[[], None]:
    """Make a folder, and return what gives it free again; see `lock.take`.

    Raises:
        InputError: it cannot be made or written to, or another run has it
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot hold a run: {error.strerror}") from None
    return lock.take(folder)


def kept(folder: Path) -> list[Path]:
    """Return the checkpoints in a folder before the latest, the oldest first."""
    paths = [path for path in folder.glob(KEPT_NAMES) if path.stem[11:].isdigit()]
    return sorted(paths, key=lambda path: path.stat().st_mtime_ns)


def prepare(folder: Path, *, resume: bool, overwrite: bool) -> None:
    """Make a claimed folder ready for a run.

    Raises:
        InputError: it holds a run, and nothing says what is to become of it; there is
            no run to resume; it cannot be written to
    """
    results = [name for name in RESULTS if os.path.exists(folder / name)]
    results += [path.name for path in kept(folder)]
    if resume and CHECKPOINT_NAME not in results:
        raise InputError(f"{folder}: no {CHECKPOINT_NAME} here to resume from")
    if results and not resume and not overwrite:
        go_on = "--resume to go on with it or " * (CHECKPOINT_NAME in results)
        raise InputError(
            f"{folder}: already holds a run ({', '.join(results)}); choose another "
            f"--out, or add {go_on}--overwrite to replace it"
        )
    if not (results or overwrite or _may_be_replaced(folder / CONFIG_NAME)):
        raise InputError(
            f"{folder}: already holds a {CONFIG_NAME}; choose another --out, or add "
            "--overwrite to replace it"
        )
    try:
        files.remove_parts(folder, *RESULTS, CONFIG_NAME, KEPT_NAMES)
        if results and not resume:
            _check_files(folder)
            for name in (*results, CONFIG_NAME):
                (folder / name).unlink(missing_ok=True)
            remove_events(folder)
    except OSError as error:
        raise InputError(f"{folder}: cannot hold a run: {error.strerror}") from None


def _check_files(folder: Path) -> None:
    """Refuse to replace a run of which a part cannot be removed, before any is."""
    for name in (*RESULTS, CONFIG_NAME, *DRAWN):
        if there := files.other(folder / name):
            raise InputError(
                f"{folder / name}: is {there}, where a run's file would be; choose "
                "another --out"
            )


def remove(folder: Path, *names: str) -> None:
    """Remove files that tell of an earlier state of a run that now goes on.

    Raises:
        WriteError: one that cannot be removed
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
    """Remove what TensorBoard would show of the run in a folder."""
    for path in (folder / EVENTS_NAME).glob("events.out.tfevents.*"):
        path.unlink(missing_ok=True)


def _may_be_replaced(path: Path) -> bool:
    """Return whether a file is not there, or is all that a run that died has left."""
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

    What an earlier nnx called otherwise is taken for what it is called now.

    Raises:
        InputError: there is no run, or its settings are not those of this nnx
    """
    path = folder / CONFIG_NAME
    if not os.path.exists(path):
        raise InputError(f"{folder}: holds no run of nnx: there is no {CONFIG_NAME}")
    config = files.read_toml(path)
    named = {RENAMED.get(name, name): value for name, value in config.items()}
    return complete(named, str(path))


def default_folder(name: str) -> Path:
    """Return runs/<name>-<time>, made just now, which thus no other run takes."""
    stem = f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    ends = chain([""], (f"-{i}" for i in count(2)))
    return next(path for end in ends if _is_new(path := Path("runs", stem + end)))


def discard(folder: Path) -> None:
    """Remove a default folder that nothing came to be in."""
    for each in folder, folder.parent:
        with suppress(OSError):
            each.rmdir()


def _is_new(folder: Path) -> bool:
    """Make a folder, if there is none yet."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        return False
    except OSError as error:
        raise InputError(f"{folder}: cannot hold a run: {error.strerror}") from None
    return True
