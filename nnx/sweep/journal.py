"""A sweep's journal: a study of Optuna's in a file that many processes share.

Whoever has the folder's lock reads and writes it, for a moment. The lock ends with its
process, so that none that is killed is waited for, and Optuna's own lock is left out.
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
PAUSE, PATIENCE = 0.02, 120.0  # seconds between two tries for the lock, and of all


def library() -> Any:
    """Return Optuna, which says nothing below a warning.

    Raises:
        MissingLibraryError: it is not installed
    """
    try:
        import optuna

        if find_spec("sklearn") is None:  # of which what mattered is asked in the end
            raise ImportError(name="scikit-learn")
    except ImportError as error:
        raise MissingLibraryError(
            f"nnx sweep needs {error.name}: pip install 'nnx-mlp[sweep]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


@contextmanager
def turn(folder: Path) -> Iterator[None]:
    """Be the one process that reads and writes a sweep's folder.

    Raises:
        InputError: the journal is damaged, the folder cannot be written to, or one
            process has it for minutes
        WriteError: the disk does not take what is written
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
    """A study of Optuna's, and the storage that it is in."""

    path: Path
    storage: Any
    study: Any


def opened(folder: Path) -> Journal:
    """Return the journal in a folder, made if there is none; in a `turn`, as all below.

    Raises:
        InputError: it is damaged
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
    """Return all trials by number, as Optuna has them.

    Raises:
        InputError: the journal is damaged
    """
    with _undamaged(journal.path):
        return list(journal.study.get_trials(deepcopy=False))


def add(journal: Journal, params: dict[str, Any], kinds: dict[str, Any]) -> Any:
    """Return a new trial, which is running from now on.

    It is one line of the journal, so that none is ever there without its settings.

    kinds: Optuna's distributions of these settings
    """
    optuna = library()
    running = optuna.trial.TrialState.RUNNING
    journal.study.add_trial(
        optuna.trial.create_trial(state=running, params=params, distributions=kinds)
    )
    return trials(journal)[-1]


def finish(journal: Journal, number: int, scores: Sequence[float]) -> None:
    """Write down a running trial's scores; without any, it has failed.

    Of a trial that failed, Optuna takes it that no settings do worse.
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
    """Take the folder's lock, once whoever has it gives it free."""
    began = time.monotonic()
    while True:
        try:
            return lock.take(folder, LOCK_NAME)
        except lock.HeldError:
            if time.monotonic() - began > PATIENCE:
                path = folder / LOCK_NAME
                raise InputError(
                    f"{path}: another process has the sweep since {PATIENCE:g} s; if "
                    "there is none, remove this file"
                ) from None
        time.sleep(PAUSE)


def _check_end(path: Path) -> None:
    """Remove a last line that a full disk has cut short; refuse another damage there.

    Optuna would append to either, and could read nothing after it.
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
    """Refuse the journal where reading it inside fails."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:  # what Optuna raises has no root of its own
        raise InputError(
            f"{path}: damaged, and no journal of a sweep ({type(error).__name__}); "
            "choose another --storage"
        ) from error
