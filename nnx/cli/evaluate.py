"""`nnx evaluate`."""

from pathlib import Path

from nnx.automatic import DEFAULT
from nnx.cli import classes, show
from nnx.cli.options import (
    BackendOption,
    DataDir,
    DatasetOption,
    Device,
    Json,
    ModelArgument,
    Threads,
    on,
    threads_limited,
)
from nnx.errors import InputError


def evaluate(
    model: ModelArgument,
    dataset: DatasetOption = None,
    data_dir: DataDir = None,
    backend: BackendOption = DEFAULT,
    device: Device = None,
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Test a trained network on a data set's test images, all and class by class.

    Without --dataset, on the one that it was trained on.
    """
    from nnx.backend import choose
    from nnx.data.load import load
    from nnx.network import Network
    from nnx.training.evaluate import evaluate as run
    from nnx.training.log import METRIC_NAMES

    network = Network.load(model)
    chosen = choose(backend, threads=threads, **on(device))
    trained_on = _trained_on(model) if dataset is None else (dataset, None)
    data = load(trained_on[0], data_dir or trained_on[1])
    with threads_limited(threads):
        result = run(network, data, backend=chosen)
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
        )
    else:
        show.line(
            f"{data.name}: test {METRIC_NAMES[result.metric]} "
            f"{show.score(result.score, result.metric)} "
            f"(loss {result.loss:.4f}) on {result.images:,} images"
        )
        classes.print_tables(data.classes, result)


def _trained_on(model: Path) -> tuple[str, str | None]:
    """Return the dataset and folder that the model's run names in its settings."""
    from nnx.training.folder import CONFIG_NAME, load_settings

    folder = model if model.is_dir() else model.parent
    if not (folder / CONFIG_NAME).is_file():
        raise InputError(f"{folder}: no {CONFIG_NAME} names the data; give --dataset")
    settings = load_settings(folder)
    return settings["dataset"], settings["data_dir"] or None
