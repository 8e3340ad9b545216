"""`nnx train`."""

import os
from dataclasses import asdict, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nnx.cli import results, show
from nnx.cli.options import (
    DataDir,
    DatasetOption,
    Device,
    Json,
    Threads,
    batch_size,
    expanded,
    number,
    on,
    threads_limited,
    widths,
)
from nnx.errors import InputError

if TYPE_CHECKING:
    from nnx.settings import Config


def train(
    preset: Annotated[
        str | None,
        typer.Option(
            help="Settings of a published result: two-layer, relu-10, relu-25-25, "
            "tanh-1000, kaggle or quick; other options go before them."
        ),
    ] = None,
    dataset: DatasetOption = None,
    data_dir: DataDir = None,
    backend: Annotated[
        str | None,
        typer.Option(
            help="What computes: see 'nnx info'. By default auto, which takes "
            "numba where it works and pays, and numpy elsewhere."
        ),
    ] = None,
    device: Device = None,
    hidden: Annotated[
        str | None,
        typer.Option(help="Widths of the hidden layers: 128,64 (default 128)."),
    ] = None,
    activation: Annotated[
        str | None,
        typer.Option(
            help="Of the hidden layers: relu, leaky_relu, elu, tanh, sigmoid, "
            "softplus or identity (default relu); or one for each: relu,tanh."
        ),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            help="Initial weights: auto, he, glorot, lecun, normal:0.01 or zeros "
            "(default auto)."
        ),
    ] = None,
    epochs: Annotated[
        int | None, number(int, help="Passes over the images (default 20).")
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option(
            "--batch-size", help="Images a step, or full (default 32).", metavar="N"
        ),
    ] = None,
    learning_rate: Annotated[
        float | None, number(float, help="Length of a step (default 0.2).")
    ] = None,
    l2: Annotated[
        float | None,
        number(float, "--l2", help="Penalty l2/2 · Σ weight² (default 0)."),
    ] = None,
    augment: Annotated[
        str | None,
        typer.Option(
            help="Distort training pictures anew in every epoch, at most by "
            "shift=2,rotation=15,scale=0.15,shear=0.1,elastic=34,sigma=4 (or some of "
            "them: pixels, degrees, factors).",
            metavar="AMOUNTS",
        ),
    ] = None,
    pixels: Annotated[
        str | None,
        typer.Option(
            help="unit scales pixels to [0, 1]; raw leaves them (default unit)."
        ),
    ] = None,
    seed: Annotated[
        int | None, number(int, help="Of weights and shuffles (default 0).")
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(help="float32 or float64 (default float32).")
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="full, or tf32: lets a GPU round the factors of float32 products "
            "to 10 bits (default full)."
        ),
    ] = None,
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

    nnx train --dataset fashion-mnist --hidden 256,128 --epochs 30

    nnx train --out runs/mine --resume                 go on where it stopped
    """
    given = {
        "dataset": dataset,
        "data_dir": None if data_dir is None else str(data_dir.absolute()),
        "backend": backend,
        "hidden": widths(hidden),
        "activation": activation,
        "init": init,
        "epochs": epochs,
        "batch_size": batch_size(batch),
        "learning_rate": learning_rate,
        "l2": l2,
        "augment": augment,
        "pixels": pixels,
        "seed": seed,
        "dtype": dtype,
        "precision": precision,
    }
    config = _config(
        {k: v for k, v in given.items() if v is not None}, preset, out, resume
    )
    if require_accuracy is not None and not 0 <= require_accuracy <= 1:
        raise InputError(
            f"--require-accuracy takes a fraction from 0 to 1, not {require_accuracy}"
        )
    if resume and overwrite:
        raise InputError(
            "--resume goes on with a run, --overwrite replaces it: not both"
        )
    with threads_limited(threads):
        _train(
            config,
            on(device),
            threads,
            out,
            resume,
            overwrite,
            require_accuracy,
            json,
            quiet,
        )


def _config(
    given: dict[str, Any], preset: str | None, out: Path | None, resume: bool
) -> "Config":
    """Return the run's settings: those given, over the preset's or the old run's."""
    from nnx.settings import config_from
    from nnx.training import presets
    from nnx.training.folder import check_resumed, load_config

    base: dict[str, Any] = {}
    if resume:
        if out is None:
            raise InputError(
                "--resume needs --out, the folder of the run to go on with"
            )
        base = asdict(load_config(out))
    if preset is not None:
        base |= presets.load(preset)
    config = config_from(base | given)
    config = replace(config, dataset=_lasting(config.dataset))
    if resume and out is not None:
        check_resumed(out, config)
    return config


def _lasting(dataset: str) -> str:
    """Return a name, or a path that holds from any folder the run is resumed from."""
    from nnx.data.named import NAMES

    path = os.path.expanduser(dataset)
    if dataset in NAMES or not os.path.exists(path):
        return dataset
    return str(Path(path).absolute())


def _train(
    config: "Config",
    options: dict[str, str],
    threads: int | None,
    out: Path | None,
    resume: bool,
    overwrite: bool,
    require_accuracy: float | None,
    json: bool,
    quiet: bool,
) -> None:
    from nnx.backend import find
    from nnx.cli.progress import shown
    from nnx.cli.signals import Stopper
    from nnx.data.load import load
    from nnx.network import Network
    from nnx.settings import Training
    from nnx.training import train as training
    from nnx.training.folder import default_folder, prepare, save_config
    from nnx.training.train import backend_for

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
    settings = Training(**config.training())
    backend = backend_for(config.backend, network, data, settings, threads, **options)
    config = replace(config, backend=backend.name)
    folder = out or default_folder(data.name)
    prepare(folder, resume=resume, overwrite=overwrite)
    if not resume:
        save_config(folder, config)
    if not quiet:
        results.introduce(data, network, backend)
    with Stopper() as stopper, shown(config.epochs, quiet) as show_progress:
        result = training.train(
            network,
            data,
            backend=backend,
            out=folder,
            resume=resume,
            on_progress=show_progress,
            should_stop=stopper.asked,
            **config.training(),
        )
    if resume:  # not before the checkpoint was found to be of the same run
        save_config(folder, config)
    results.report(data, backend, config.precision, folder, result, json)
    if result.stopped:
        again = f"nnx train --out {quote(str(folder))} --resume"
        show.note(f"nnx: stopped and saved; go on: {again}")
        raise typer.Exit(stopper.exit_status)
    if require_accuracy is not None and result.test_accuracy < require_accuracy:
        show.note(
            f"nnx: test accuracy {result.test_accuracy:.4f} is below the "
            f"required {require_accuracy:g}"
        )
        raise typer.Exit(1)
