"""`nnx sweep`."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nnx.cli import begin, show, sweep_results
from nnx.cli.options import Device, Json, Threads, number, on, path, threads_limited
from nnx.cli.trial_runs import TrialRuns, UntrainableError
from nnx.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from nnx.sweep.trials import Sweep, Trial

# Fraction held out to compare trials, if the settings hold out nothing.
HELD_OUT = 0.1


def sweep(
    config: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            help="TOML file of the settings that all trials share, such as a run's "
            "config.toml.",
        ),
    ],
    space: Annotated[
        Path,
        path(
            "TOML file of the settings to search: a list of choices, as in hidden = "
            '["128", "256,128"], or a range, as in learning_rate = '
            "{ low = 1e-4, high = 1e-1, log = true }.",
            "FILE",
        ),
    ],
    storage: Annotated[
        Path,
        path(
            "Folder of the sweep; machines that share it work through one sweep if "
            "all run the same command."
        ),
    ],
    trials: Annotated[
        int, number(int, "Number of trials to finish, by all processes together.", 1)
    ] = 50,
    seeds: Annotated[
        int,
        number(int, "Number of seeds to train each trial with; their mean counts.", 1),
    ] = 1,
    device: Device = None,
    threads: Threads = None,
    json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print no progress.")] = False,
) -> None:
    """Search for the best settings in many runs, on any number of machines.

    Each trial is a run in the sweep's folder; its score is that on the validation set.
    The next free process resumes a trial that was interrupted. The result is a table, a
    picture of what mattered, and best.toml, with which [bold]nnx train --config[/bold]
    repeats the best trial.

    [bold]Examples[/bold]

    nnx sweep run.toml --space space.toml --storage sweeps/mine

    nnx sweep run.toml --space space.toml --storage sweeps/mine --trials 200 --seeds 5
    """
    from nnx.cli.progress import doing
    from nnx.maths.shards import ALONE
    from nnx.network import Network
    from nnx.settings import complete
    from nnx.sweep import trials as study
    from nnx.sweep.journal import library
    from nnx.sweep.space import load, size
    from nnx.training.data import load_data
    from nnx.training.processes import digest_of

    values, held_out = _values(config)
    settings, searched = complete(values, str(config)), load(space, values)
    every = _every_seed(settings["seed"], seeds)
    library()  # refused before data are loaded
    count, options = int(min(trials, size(searched))), on(device)
    with threads_limited(threads):
        with doing(f"reading {settings['dataset']}", quiet=quiet):
            begin.check_backend(settings, options)  # refused before data are loaded
            trained = Network.load(origin) if (origin := settings["from"]) else None
            data = load_data(settings, network=trained)
            runs = TrialRuns(values, searched, data, trained, options, threads)
            metric = runs.checked_metric()
            digest = digest_of(data, ALONE, needed=True)
        opened = study.opened(storage, settings, searched, every, digest)
        if held_out and not quiet:
            show.note(
                f"nnx: {config} sets no validation_fraction: trials are compared on "
                f"{HELD_OUT} of the training images, held out"
            )
        if not quiet:
            sweep_results.introduce(opened, data, count, trials)
        _work(opened, runs, count, metric, quiet)
    sweep_results.report(opened, runs, metric, json, quiet)


def _values(file: Path) -> tuple[dict[str, Any], bool]:
    """Return the settings that all trials share, and whether HELD_OUT was added."""
    from nnx.files import read_toml
    from nnx.settings import layered

    values = begin.with_origin(layered({}, read_toml(file), str(file)))
    if values.get("validation_fraction") or values.get("validation_data"):
        return values, False
    return {**values, "validation_fraction": HELD_OUT}, True


def _every_seed(first: int, count: int) -> list[int]:
    """Return the seeds of each trial."""
    from nnx.settings.values import read_value

    try:
        read_value("seed", first + count - 1)
    except InputError as error:
        raise InputError(f"--seeds {count}: {error}") from None
    return list(range(first, first + count))


def _work(
    sweep: "Sweep", runs: TrialRuns, count: int, metric: str, quiet: bool
) -> None:
    """Train trials until `count` are finished; at a signal, save the current one."""
    from nnx.cli.signals import EXIT, remembered
    from nnx.sweep import trials

    def say(text: str) -> None:
        if not quiet:
            show.note(text)

    def on_wait(running: int) -> None:
        say(f"nnx: waiting for {running} trials that other processes are training")

    with closing(trials.to_train(sweep, count, on_wait)) as coming:
        for trial in coming:
            say(sweep_results.beginning(trial))
            with remembered() as signals:
                scores = _scores(trial, runs, lambda: bool(signals), quiet)
            if scores is not None:
                trials.finish(sweep, trial, scores)
                finished = trials.outcomes(sweep)
                say(sweep_results.ending(trial, finished, count, metric))
            if signals:
                show.note("nnx: stopped and saved; the same command continues")
                raise typer.Exit(EXIT[signals[0]])


def _scores(
    trial: "Trial",
    runs: TrialRuns,
    should_stop: "Callable[[], bool]",
    quiet: bool,
) -> list[float] | None:
    """Return each seed's score; no scores if training fails, None if it is stopped."""
    from nnx.cli.progress import compiled
    from nnx.errors import DivergedError, OutOfMemoryError

    scores = []
    try:
        for seed in trial.runs:
            with closing(runs.of(trial, seed)) as run:
                compiled(run.compile(), quiet)
                result = run.follow(should_stop=should_stop)
            if result.stopped:
                return None
            assert result.validation_score is not None
            scores.append(result.validation_score)
    except (DivergedError, OutOfMemoryError, UntrainableError) as error:
        show.note(f"nnx: trial {trial.number} failed: {error}")
        return []
    return scores
