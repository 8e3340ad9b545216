"""`nnx train`."""

import os
from dataclasses import asdict, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from nnx.cli import results, show
from nnx.cli.options import Device, Json, Threads, expanded, number, on, threads_limited
from nnx.cli.settings_options import with_settings
from nnx.errors import InputError

if TYPE_CHECKING:
    from nnx.backend import Backend
    from nnx.cli.signals import Stopper
    from nnx.data.dataset import Dataset
    from nnx.network import Network
    from nnx.settings import Config
    from nnx.training.run import Progress
    from nnx.training.train import Result


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

    nnx train --validation 0.1 --early-stopping 5 --epochs 100

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
) -> "Config":
    """Return the run's settings: those given, over the file's, over the preset's.

    old: the folder of the run to go on with, whose settings are under all of them
    """
    from nnx.files import read_toml
    from nnx.settings import config_from, layered
    from nnx.training import presets
    from nnx.training.folder import check_resumed, load_config

    values = asdict(load_config(old)) if old is not None else {}
    if preset is not None:
        values = layered(values, presets.load(preset), f"preset {preset}")
    if file is not None:
        values = layered(values, read_toml(file), str(file))
    config = config_from(layered(values, given))
    folder = config.data_dir and str(
        Path(os.path.expanduser(config.data_dir)).absolute()
    )
    config = replace(config, dataset=_lasting(config.dataset), data_dir=folder)
    if old is not None:
        check_resumed(old, config)
    return config


def _lasting(dataset: str) -> str:
    """Return a name, or a path that holds from any folder the run is resumed from."""
    from nnx.data.named import NAMES

    path = os.path.expanduser(dataset)
    if dataset in NAMES or not os.path.exists(path):
        return dataset
    return str(Path(path).absolute())


def _made(config: "Config", asked: Asked) -> tuple["Dataset", "Network", "Backend"]:
    """Return the data, the network and the backend, refused if they do not fit."""
    from nnx.backend import find
    from nnx.data.load import load
    from nnx.network import Network
    from nnx.training.setup import fitted
    from nnx.training.train import backend_for

    options = on(asked.device)
    if config.precision != "full":
        options |= {"precision": config.precision}
    if config.backend != "auto" or options:
        find(config.backend, **options)  # refused before data are loaded
    data = load(config.dataset, config.data_dir or None)
    network = Network(
        (data.train.images.shape[1], *config.hidden, len(data.classes)),
        config.activation,
        init=config.init,
        seed=config.seed,
        dtype=config.dtype,
    )
    fitted(network, data, config)  # refused before an old run is replaced
    backend = backend_for(
        config.backend, network, data, config, asked.threads, **options
    )
    return data, network, backend


def _train(config: "Config", asked: Asked) -> None:
    from nnx.cli.progress import shown
    from nnx.cli.signals import Stopper
    from nnx.training import train as training
    from nnx.training.folder import default_folder, prepare, save_config
    from nnx.training.setup import held_count

    data, network, backend = _made(config, asked)
    config = replace(config, backend=backend.name)
    folder = asked.out or default_folder(data.name)
    prepare(folder, resume=asked.resume, overwrite=asked.overwrite)
    if not asked.resume:
        save_config(folder, config)
    if not asked.quiet:
        results.introduce(data, network, backend, held_count(data, config))
    unsaved = asked.resume

    def on_progress(progress: "Progress") -> None:
        nonlocal unsaved
        if unsaved:  # not before the checkpoint was found to be of the same run
            save_config(folder, config)
            unsaved = False
        show_progress(progress)

    with Stopper() as stopper, shown(config.epochs, asked.quiet) as show_progress:
        result = training.train(
            network,
            data,
            backend=backend,
            out=folder,
            resume=asked.resume,
            overwrite=not asked.resume,  # prepared above
            on_progress=on_progress,
            should_stop=stopper.asked,
            **config.training(),
        )
    if asked.resume and not result.trained and not asked.quiet:
        results.nothing_to_do(result)
    results.report(data, backend, config.precision, folder, result, asked.json)
    _close(result, folder, asked, stopper)


def _close(result: "Result", folder: Path, asked: Asked, stopper: "Stopper") -> None:
    """Say what is left to do, with the exit status that stands for it."""
    if result.stopped:
        words = ["nnx train --out", quote(str(folder)), "--resume"]
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
