"""`nnx evaluate`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nnx.automatic import DEFAULT
from nnx.cli import classes, show, values
from nnx.cli.options import (
    BackendOption,
    DataDir,
    DatasetOption,
    Device,
    Json,
    ModelArgument,
    Threads,
    backend_of,
    threads_limited,
)
from nnx.errors import InputError


def evaluate(
    model: ModelArgument,
    dataset: DatasetOption = None,
    data_dir: DataDir = None,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="The column of --dataset that holds the classes; that of the run "
            "without it.",
        ),
    ] = None,
    backend: BackendOption = DEFAULT,
    device: Device = None,
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Test a trained network on a data set's test images, all and class by class.

    Of a regression R² and, target by target, the root of the mean squared error.
    Without --dataset, on the one that it was trained on.
    """
    from nnx.network import Network
    from nnx.training.data import load_data
    from nnx.training.evaluate import evaluate as run
    from nnx.training.log import METRIC_NAMES

    network = Network.load(model)
    chosen = backend_of(backend, device, threads)
    settings = tested_by(model, dataset, target)
    data = load_data(settings, dataset, data_dir, network=network)
    with threads_limited(threads):
        delta = settings.get("huber_delta", 0.0)
        result = run(network, data, backend=chosen, huber_delta=delta)
    if json:
        show.as_json(
            {
                "model": str(model),
                "network": str(network),
                "dataset": data.name,
                "backend": chosen.name,
                "images": result.images,
                "test_loss": result.loss,
                f"test_{result.metric}": result.score,
            }
            | classes.described(data.classes, result)
            | values.described(data.targets, result)
        )
    else:
        whole = " with all labels right" if data.task == "multilabel" else ""
        show.line(
            f"{data.name}: test {METRIC_NAMES[result.metric]} "
            f"{show.score(result.score, result.metric)}{whole} "
            f"(loss {result.loss:.4f}) on {result.images:,} "
            f"{show.samples(data.columns)}"
        )
        classes.print_tables(data, result)
        values.print_table(data.targets, result)


def tested_by(model: Path, dataset: str | None, target: str | None) -> dict[str, Any]:
    """Return the settings of the model's run, or none but the target without one."""
    from nnx.settings.values import read_value
    from nnx.training.folder import CONFIG_NAME, load_settings

    folder = model if model.is_dir() else model.parent
    settings: dict[str, Any] = {"target": ()}
    if (folder / CONFIG_NAME).is_file():
        settings = {**load_settings(folder)}
    elif dataset is None:
        raise InputError(f"{folder}: no {CONFIG_NAME} names the data; give --dataset")
    if target is not None:
        settings["target"] = read_value("target", target)
    return settings
