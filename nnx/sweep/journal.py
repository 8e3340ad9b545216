"""A sweep's journal: an Optuna study in a file that many processes share.

A process reads and writes the journal only while it briefly holds the folder's lock.
The lock ends with its process, so none waits for a killed one; Optuna's own lock is not
used.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean
from types import SimpleNamespace
from typing import Any, NamedTuple

from nnx.errors import InputError, MissingLibraryError, WriteError
from nnx.training import lock

NAME, LOCK_NAME = "journal.log", ".sweep.lock"
STUDY, SCORES = "nnx sweep", "scores"
PAUSE, PATIENCE = 0.02, 120.0  # seconds between attempts to lock, and in total


def library() -> Any:
    """Return the module optuna, set to log only warnings and errors.

    Raises:
        MissingLibraryError: Optuna or scikit-learn is not installed
    """
    try:
        import optuna

        if find_spec("sklearn") is None:  # needed at the end for the importances
            raise ImportError(name="scikit-learn")
    except ImportError as error:
        raise MissingLibraryError(
            f"nnx sweep needs {error.name}: pip install 'nnx-mlp[sweep]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


@contextmanager
def turn(folder: Path) -> Iterator[None]:
    """Hold the lock on a sweep's folder, to read and write its journal.

    Raises:
        InputError: the journal is damaged, the folder cannot be written to, or another
            process holds the lock for `PATIENCE` seconds
        WriteError: the journal cannot be written to the disk
    """
    release = _taken(folder)
    path = folder / NAME
    try:
        _check_end(path)
        yield
    except OSError as error:
        raise WriteError(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        release()


class Journal(NamedTuple):
    """An Optuna study, and its storage."""

    path: Path
    storage: Any
    study: Any


def opened(folder: Path) -> Journal:
    """Return the journal in a folder, or create it.

    This function, and those below that take a journal, must be called in a `turn`.

    Raises:
        InputError: the journal is damaged
    """
    optuna = library()
    path = folder / NAME
    no_lock = SimpleNamespace(acquire=lambda: True, release=lambda: None)
    with _undamaged(path):
        file = optuna.storages.journal.JournalFileBackend(str(path), lock_obj=no_lock)
        storage = optuna.storages.JournalStorage(file)
        where = {"storage": storage, "study_name": STUDY}
        if STUDY in optuna.get_all_study_names(storage):
            study = optuna.load_study(**where)
        else:
            study = optuna.create_study(**where, direction="maximize")
    return Journal(path, storage, study)


def trials(journal: Journal) -> list[Any]:
    """Return all trials, as Optuna's records, by number.

    Raises:
        InputError: the journal is damaged
    """
    with _undamaged(journal.path):
        return list(journal.study.get_trials(deepcopy=False))


def add(journal: Journal, params: dict[str, Any], kinds: dict[str, Any]) -> Any:
    """Add a new trial, in the state "running", and return it.

    The journal gets a single line, so a trial is never without its settings.

    kinds: Optuna's distributions of these settings
    """
    optuna = library()
    running = optuna.trial.TrialState.RUNNING
    journal.study.add_trial(
        optuna.trial.create_trial(state=running, params=params, distributions=kinds)
    )
    return trials(journal)[-1]


def finish(journal: Journal, number: int, scores: Sequence[float]) -> None:
    """Record the scores of a running trial; without scores, the trial has failed.

    Optuna ranks the settings of a failed trial below all others.
    """
    storage, study = journal.storage, journal.study
    trial_id = storage.get_trial_id_from_study_id_trial_number(
        storage.get_study_id_from_name(STUDY), number
    )
    if scores:
        storage.set_trial_user_attr(trial_id, SCORES, [*scores])
        study.tell(number, fmean(scores))
    else:
        study.tell(number, state=library().trial.TrialState.PRUNED)


def _taken(folder: Path) -> Callable[[], None]:
    """Take the folder's lock, after waiting for it to be released."""
    began = time.monotonic()
    while True:
        try:
            return lock.take(folder, LOCK_NAME)
        except lock.HeldError:
            if time.monotonic() - began > PATIENCE:
                path = folder / LOCK_NAME
                raise InputError(
                    f"{path}: another process has locked the sweep for {PATIENCE:g} s; "
                    "if there is none, remove this file"
                ) from None
        time.sleep(PAUSE)


def _check_end(path: Path) -> None:
    """Remove a last line truncated by a full disk; refuse other damage at the end.

    Otherwise Optuna would append to it, and could read nothing after it.
    """
    if not path.exists():
        return
    with open(path, "r+b") as file:
        content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        with _undamaged(path):
            if content:
                json.loads(whole.splitlines()[-1])
        if len(whole) < len(content):
            file.truncate(len(whole))


@contextmanager
def _undamaged(path: Path) -> Iterator[None]:
    """Turn failures to read the journal inside into an InputError."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:  # Optuna's exceptions have no common base class
        raise InputError(
            f"{path}: damaged, or not a journal of a sweep ({type(error).__name__}); "
            "choose another --storage"
        ) from error
