"""`nnx train`."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from nnx.cli import results, show
from nnx.cli.options import Device, Json, Threads, expanded, number, on, threads_limited
from nnx.cli.settings_options import with_settings
from nnx.errors import InputError

if TYPE_CHECKING:
    from nnx.cli.signals import Stopper
    from nnx.settings import Settings
    from nnx.training.result import Result
    from nnx.training.run import Run


class Asked(NamedTuple):
    """What the command was told beside settings; as its options."""

    device: str | None
    threads: int | None
    out: Path | None
    resume: bool
    overwrite: bool
    require_accuracy: float | None
    json: bool
    quiet: bool


@with_settings
def train(
    given: dict[str, Any],
    preset: Annotated[
        str | None,
        typer.Option(
            help="Settings of a published result: two-layer, relu-10, relu-25-25, "
            "tanh-1000, kaggle, quick, simard, dropout, elastic, ciresan or fashion. "
            "A --config goes before them, and other options before both.",
            metavar="NAME",
            rich_help_panel="Settings",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="A TOML file of settings, such as a run's config.toml, which does the "
            "run again; names are those of the options, with _ for -.",
            parser=expanded,
            metavar="FILE",
            rich_help_panel="Settings",
        ),
    ] = None,
    device: Device = None,
    threads: Threads = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The run's folder, for model, settings and log "
            "(default runs/DATASET-TIME).",
            parser=expanded,
            metavar="DIR",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the run in --out.")
    ] = False,
    require_accuracy: Annotated[
        float | None,
        number(float, help="Exit with status 1 if the test accuracy is below this."),
    ] = None,
    json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print no progress.")] = False,
) -> None:
    """Train a network, and keep it with its settings and log in a folder.

    [bold]Examples[/bold]

    nnx train                                          digits, in a second

    nnx train --preset quick                           MNIST, to 98 %

    nnx train --dataset fashion-mnist --hidden 256,128 --optimizer adam --dropout 0.2

    nnx train --validation-fraction 0.1 --patience 5 --epochs 100

    nnx train --config mine.toml --seed 1              settings from a file

    nnx train --out runs/mine --resume                 go on where it stopped
    """
    if require_accuracy is not None and not 0 <= require_accuracy <= 1:
        raise InputError(
            f"--require-accuracy takes a fraction from 0 to 1, not {require_accuracy}"
        )
    if resume and overwrite:
        raise InputError(
            "--resume goes on with a run, --overwrite replaces it: not both"
        )
    if resume and out is None:
        raise InputError("--resume needs --out, the folder of the run to go on with")
    settings = _settings(given, config, preset, out if resume else None)
    with threads_limited(threads):
        _train(
            settings,
            Asked(
                device, threads, out, resume, overwrite, require_accuracy, json, quiet
            ),
        )


def _settings(
    given: dict[str, Any], file: Path | None, preset: str | None, old: Path | None
) -> "Settings":
    """Return the run's settings: those given, over the file's, over the preset's.

    old: the folder of the run to go on with, whose settings are under all of them
    """
    from nnx.files import read_toml
    from nnx.settings import complete, layered
    from nnx.training import presets
    from nnx.training.folder import load_settings

    values: dict[str, Any] = {**load_settings(old)} if old is not None else {}
    if preset is not None:
        values = layered(values, presets.load(preset), f"preset {preset}")
    if file is not None:
        values = layered(values, read_toml(file), str(file))
    return complete(layered(values, given))


def _begun(settings: "Settings", asked: Asked) -> "Run":
    """Return the run, refused if its parts do not fit."""
    from nnx.backend import find
    from nnx.data.load import load
    from nnx.network import Network
    from nnx.training.folder import default_folder
    from nnx.training.run import Run

    options = on(asked.device)
    if settings["precision"] != "full":
        options |= {"precision": settings["precision"]}
    if settings["backend"] != "auto" or options:
        find(settings["backend"], **options)  # refused before data are loaded
    data = load(settings["dataset"], settings["data_dir"] or None)
    network = Network(
        (data.train.images.shape[1], *settings["hidden"], len(data.classes)),
        settings["activation"],
        init=settings["init"],
        seed=settings["seed"],
        dtype=settings["dtype"],
    )
    return Run(
        network,
        data,
        {**settings, "dataset": data.source, "data_dir": data.data_dir},
        backend=settings["backend"],
        out=asked.out or default_folder(data.name),
        resume=asked.resume,
        overwrite=asked.overwrite,
        threads=asked.threads,
        **options,
    )


def _train(settings: "Settings", asked: Asked) -> None:
    from nnx.cli.progress import shown
    from nnx.cli.signals import Stopper

    run = _begun(settings, asked)
    if not asked.quiet:
        results.introduce(run)
    with Stopper() as stopper, shown(asked.quiet) as show_progress:
        result = run.follow(show_progress, stopper.asked)
    if run.resumed and not result.trained and not asked.quiet:
        results.nothing_to_do(result)
    results.report(run, result, asked.json)
    _close(run, result, asked, stopper)


def _close(run: "Run", result: "Result", asked: Asked, stopper: "Stopper") -> None:
    """Say what is left to do, with the exit status that stands for it."""
    if result.stopped:
        words = ["nnx train --out", quote(str(run.folder)), "--resume"]
        # What no settings file holds, and a resumed run needs too.
        for name in "device", "threads":
            value = getattr(asked, name)
            words += [] if value is None else [f"--{name} {value}"]
        show.note(f"nnx: stopped and saved; go on: {' '.join(words)}")
        raise typer.Exit(stopper.exit_status)
    required = asked.require_accuracy
    if required is not None and result.test_accuracy < required:
        show.note(
            f"nnx: test accuracy {result.test_accuracy:.4f} is below the "
            f"required {required:g}"
        )
        raise typer.Exit(1)
