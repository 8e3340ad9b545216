"""A sweep's trials, and their distribution among processes.

    sweep.toml      the definition of the sweep: settings, space, seeds and data
    journal.log     the trials, and their scores
    trial-0000/     a trial's run; with several seeds, a folder with a run for each
    best.toml       in the end, the best trial's settings
    sweep.png       and a figure of which settings mattered

The process with the lock on a trial's folder trains it. If the journal lists a trial as
running but nobody has its lock, it was interrupted, and the next process continues it.
"""

import os
import time
import tomllib
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from nnx import files
from nnx.errors import InputError
from nnx.settings import Settings, as_text
from nnx.sweep import journal
from nnx.sweep.journal import Journal
from nnx.sweep.proposals import kinds, proposed
from nnx.sweep.space import Space, as_table, settings_of
from nnx.training import lock

SWEEP_NAME, BEST_NAME, PICTURE_NAME = "sweep.toml", "best.toml", "sweep.png"
# Where the data are; they may be moved, because they are compared by content.
PLACES = "dataset", "data_dir", "test_data", "validation_data"
WAIT = 0.5  # seconds between checks of the other processes' progress


class Sweep(NamedTuple):
    """A sweep that all its processes work on.

    seeds: each trial is trained with all of them
    """

    folder: Path
    space: Space
    seeds: Sequence[int]
    journal: Journal


class Trial(NamedTuple):
    """A trial that this process is to train.

    params: its settings in the form of the journal
    settings: its settings in the form of a run
    runs: the folder of each seed's run
    begun: whether it was interrupted, and is to be continued
    release: releases its lock
    """

    number: int
    params: Mapping[str, Any]
    settings: Mapping[str, Any]
    runs: Mapping[int, Path]
    begun: bool
    release: Callable[[], None]


class Outcome(NamedTuple):
    """The result of a finished trial.

    scores: of each seed, on the validation set; empty if training failed
    """

    number: int
    params: Mapping[str, Any]
    scores: Sequence[float]

    @property
    def mean(self) -> float:
        """Mean of the scores; minus infinity if there are none."""
        return fmean(self.scores) if self.scores else float("-inf")

    @property
    def deviation(self) -> float | None:
        """Standard deviation of the scores; None for fewer than two."""
        return stdev(self.scores) if len(self.scores) > 1 else None


def opened(
    folder: Path, settings: Settings, space: Space, seeds: Sequence[int], data: str
) -> Sweep:
    """Return the sweep in a folder, or create it.

    settings: of all trials, complete
    data: their digest, as in checkpoints

    Raises:
        InputError: the folder holds another sweep, or files in the place of this one's;
            it cannot be written to; its journal is damaged
        WriteError: as for `journal.turn`
        MissingLibraryError: Optuna or scikit-learn is not installed
    """
    journal.library()
    definition = as_text(settings) | {"seeds": len(seeds), "data": data}
    definition["space"] = as_table(space)
    with files.holding(folder, "a sweep"):
        folder.mkdir(parents=True, exist_ok=True)
    with journal.turn(folder):
        _check_free(folder)
        _check_same(folder, definition)
        return Sweep(folder, space, seeds, journal.opened(folder))


def to_train(
    sweep: Sweep, most: int, on_wait: Callable[[int], None] = lambda running: None
) -> Generator[Trial]:
    """Yield trials to train until all processes together have finished `most`.

    most: at most the number of combinations in the space
    on_wait: called when this process must wait, with the number of trials that others
        are training

    Raises:
        InputError: a new trial's folder exists already
        InputError, WriteError: as for `journal.turn`
    """
    waits = False
    while True:
        with journal.turn(sweep.folder):
            every = journal.trials(sweep.journal)
            running = sum(not trial.state.is_finished() for trial in every)
            if len(every) - running >= most:
                return
            trial = _interrupted(sweep, every)
            if trial is None and len(every) < most:
                trial = _new(sweep, every)
        if trial is not None:
            try:
                yield trial
            finally:
                trial.release()
        else:
            if not waits:
                on_wait(running)
            time.sleep(WAIT)
        waits = trial is None


def finish(sweep: Sweep, trial: Trial, scores: Sequence[float]) -> None:
    """Record the result of a trial.

    scores: of each seed; empty if the trial failed, which is not tried again

    Raises:
        InputError, WriteError: as for `journal.turn`
    """
    with journal.turn(sweep.folder):
        journal.finish(sweep.journal, trial.number, scores)


def outcomes(sweep: Sweep) -> list[Outcome]:
    """Return the results of the finished trials, the best first, then by number.

    Raises:
        InputError, WriteError: as for `journal.turn`
    """
    with journal.turn(sweep.folder):
        every = journal.trials(sweep.journal)
    finished = [
        Outcome(trial.number, trial.params, trial.user_attrs.get(journal.SCORES, ()))
        for trial in every
        if trial.state.is_finished()
    ]
    return sorted(finished, key=lambda outcome: -outcome.mean)


def folder_of(sweep: Sweep, number: int) -> Path:
    """Return a trial's folder."""
    return sweep.folder / f"trial-{number:04d}"


def runs_of(sweep: Sweep, number: int) -> dict[int, Path]:
    """Return the folder of each seed's run: with one seed, the trial's folder."""
    folder = folder_of(sweep, number)
    one = len(sweep.seeds) == 1
    return {seed: folder if one else folder / f"seed-{seed}" for seed in sweep.seeds}


def _check_free(folder: Path) -> None:
    """Refuse files that a new sweep would replace."""
    if (folder / journal.NAME).exists():
        return
    patterns = "trial-[0-9]*", BEST_NAME, PICTURE_NAME
    existing = sorted(
        path.name for pattern in patterns for path in folder.glob(pattern)
    )
    if existing:
        raise InputError(
            f"{folder}: already holds {existing[0]}, but no {journal.NAME} of a sweep; "
            "choose another --storage"
        )


def _check_same(folder: Path, definition: dict[str, Any]) -> None:
    """Refuse the folder of another sweep; write this one's definition to a new one."""
    import tomli_w

    path = folder / SWEEP_NAME
    text = tomli_w.dumps(definition)
    if path.exists():
        stored, own = files.read_toml(path), tomllib.loads(text)
        compared = (name for name in own if name not in PLACES)
        if differ := [name for name in compared if stored.get(name) != own[name]]:
            raise InputError(
                f"{folder}: holds another sweep, which differs in {', '.join(differ)}; "
                "choose another --storage"
            )
    elif (folder / journal.NAME).exists():
        raise InputError(
            f"{folder}: holds a {journal.NAME}, but no {SWEEP_NAME} that describes it; "
            "choose another --storage"
        )
    else:
        files.write(path, text.encode())


def _interrupted(sweep: Sweep, every: Sequence[Any]) -> Trial | None:
    """Take a trial whose process has ended, and return it; None if there is none."""
    running = (each for each in every if not each.state.is_finished())
    taken = (_taken(sweep, each, begun=True) for each in running)
    return next((trial for trial in taken if trial is not None), None)


def _new(sweep: Sweep, every: Sequence[Any]) -> Trial | None:
    folder = folder_of(sweep, len(every))
    if os.path.lexists(folder):
        raise InputError(
            f"{folder}: already there, where a new trial's folder would be; move it "
            "away, or choose another --storage"
        )
    params = proposed(sweep.space, every, sweep.seeds[0])
    added = journal.add(sweep.journal, params, kinds(sweep.space))
    return _taken(sweep, added, begun=False)


def _taken(sweep: Sweep, frozen: Any, *, begun: bool) -> Trial | None:
    """Take a trial by locking its folder; return None if another process has it."""
    number, runs = frozen.number, runs_of(sweep, frozen.number)
    folder = folder_of(sweep, number)
    folder.mkdir(exist_ok=True)
    try:
        release = lock.take(folder, journal.LOCK_NAME)
    except lock.HeldError:
        return None
    settings = settings_of(sweep.space, frozen.params)
    return Trial(number, frozen.params, settings, runs, begun, release)
