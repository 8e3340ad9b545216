"""A sweep's trials: which there are, and which process trains which.

    sweep.toml      what the sweep is: settings, space and seeds
    journal.log     its trials, and their scores
    trial-0000/     a trial's run; of several seeds, a run in a folder for each

A trial is trained by whoever has its folder's lock. One that is running by the journal,
and whose folder nobody has, was interrupted: the next process goes on with it.
"""

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

SWEEP_NAME = "sweep.toml"
WAIT = 0.5  # seconds between two looks at what other processes do


class Sweep(NamedTuple):
    """What all processes work through.

    seeds: that each trial is trained with
    """

    folder: Path
    space: Space
    seeds: Sequence[int]
    journal: Journal


class Trial(NamedTuple):
    """A trial that is this process's to train.

    params: its settings as the journal has them; settings: as a run takes them
    runs: the folder of each seed's run
    begun: whether it was interrupted, and is now gone on with
    release: gives it free for others
    """

    number: int
    params: Mapping[str, Any]
    settings: Mapping[str, Any]
    runs: Mapping[int, Path]
    begun: bool
    release: Callable[[], None]


class Outcome(NamedTuple):
    """What a finished trial came to.

    scores: on the validation set, of each seed; none where training failed
    """

    number: int
    params: Mapping[str, Any]
    scores: Sequence[float]

    @property
    def mean(self) -> float:
        """Of the scores; less than any where there is none."""
        return fmean(self.scores) if self.scores else float("-inf")

    @property
    def deviation(self) -> float | None:
        """Of the scores about their mean; None of fewer than two."""
        return stdev(self.scores) if len(self.scores) > 1 else None


def opened(
    folder: Path, settings: Settings, space: Space, seeds: Sequence[int]
) -> Sweep:
    """Return the sweep in a folder, made if there is none.

    settings: of all trials, complete

    Raises:
        InputError: the folder is another sweep's, cannot be written to, or its journal
            is damaged
        MissingLibraryError: Optuna is not installed
    """
    journal.library()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot hold a sweep: {error.strerror}") from None
    with journal.turn(folder):
        _check_same(folder, settings, space, len(seeds))
        return Sweep(folder, space, seeds, journal.opened(folder))


def to_train(
    sweep: Sweep, most: int, on_wait: Callable[[int], None] = lambda running: None
) -> Generator[Trial]:
    """Yield trials to train, one after another, until so many are finished by anyone.

    most: no more than the space has combinations
    on_wait: called with how many others train, once nothing else is left to do

    Raises:
        InputError, WriteError: as for `journal.turn`
    """
    waits = False
    while True:
        with journal.turn(sweep.folder):
            every = journal.trials(sweep.journal)
            running = sum(not each.state.is_finished() for each in every)
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
    """Write down what a trial came to.

    scores: of each seed; none of a trial that failed, which is not tried again

    Raises:
        InputError, WriteError: as for `journal.turn`
    """
    with journal.turn(sweep.folder):
        journal.finish(sweep.journal, trial.number, scores)


def outcomes(sweep: Sweep) -> list[Outcome]:
    """Return what the finished trials came to, the best first.

    Raises:
        InputError: as for `journal.turn`
    """
    with journal.turn(sweep.folder):
        every = journal.trials(sweep.journal)
    finished = [
        Outcome(each.number, each.params, each.user_attrs.get(journal.SCORES, ()))
        for each in every
        if each.state.is_finished()
    ]
    return sorted(finished, key=lambda outcome: (-outcome.mean, outcome.number))


def folder_of(sweep: Sweep, number: int) -> Path:
    """Return a trial's folder."""
    return sweep.folder / f"trial-{number:04d}"


def runs_of(sweep: Sweep, number: int) -> dict[int, Path]:
    """Return the folder of each seed's run: of one seed, the trial's own."""
    folder = folder_of(sweep, number)
    one = len(sweep.seeds) == 1
    return {seed: folder if one else folder / f"seed-{seed}" for seed in sweep.seeds}


def _check_same(folder: Path, settings: Settings, space: Space, seeds: int) -> None:
    """Refuse a folder of another sweep; write down what this one is in a new one."""
    import tomli_w

    path = folder / SWEEP_NAME
    text = tomli_w.dumps(as_text(settings) | {"seeds": seeds, "space": as_table(space)})
    if path.exists():
        there, own = files.read_toml(path), tomllib.loads(text)
        if differ := [name for name in own if there.get(name) != own[name]]:
            raise InputError(
                f"{folder}: holds another sweep, which differs in {', '.join(differ)}; "
                "choose another --storage"
            )
    elif (folder / journal.NAME).exists():
        raise InputError(
            f"{folder}: holds a {journal.NAME}, and no {SWEEP_NAME} that says of what; "
            "choose another --storage"
        )
    else:
        files.write(path, text.encode())


def _interrupted(sweep: Sweep, every: Sequence[Any]) -> Trial | None:
    """Return a trial that no process has any more, and take it; None without one."""
    running = (each for each in every if not each.state.is_finished())
    taken = (_taken(sweep, each, begun=True) for each in running)
    return next((trial for trial in taken if trial is not None), None)


def _new(sweep: Sweep, every: Sequence[Any]) -> Trial | None:
    params = proposed(sweep.space, every, sweep.seeds[0])
    added = journal.add(sweep.journal, params, kinds(sweep.space))
    return _taken(sweep, added, begun=False)


def _taken(sweep: Sweep, frozen: Any, *, begun: bool) -> Trial | None:
    """Take a trial's folder; return None where another process has it."""
    number, runs = frozen.number, runs_of(sweep, frozen.number)
    folder = folder_of(sweep, number)
    folder.mkdir(exist_ok=True)
    try:
        release = lock.take(folder, journal.LOCK_NAME)
    except lock.HeldError:
        return None
    settings = settings_of(sweep.space, frozen.params)
    return Trial(number, frozen.params, settings, runs, begun, release)
