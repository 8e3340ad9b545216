"""`nnx evaluate`."""

import filecmp
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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

if TYPE_CHECKING:
    from nnx.data.dataset import Dataset
    from nnx.network import Network


def evaluate(
    model: ModelArgument,
    dataset: DatasetOption = None,
    data_dir: DataDir = None,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Column of --dataset to predict (default: the run's).",
        ),
    ] = None,
    backend: BackendOption = DEFAULT,
    device: Device = None,
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Test a trained network on a data set's test images, overall and class by class.

    A regression is tested by R² and by the root mean squared error of each target. The
    default data set is the one that the network was trained on. Of another table, all
    rows are tested, and of another folder of pictures without folders train and test,
    all pictures, prepared as for [bold]nnx predict[/bold].
    """
    from nnx.cli.progress import doing
    from nnx.network import Network
    from nnx.training.evaluate import evaluate as run
    from nnx.training.scores import in_words, samples

    network = Network.load(model)
    chosen = backend_of(backend, device, threads)
    settings = tested_by(model, network, dataset, target)
    data = tested_on(model, network, settings, dataset, data_dir)
    with threads_limited(threads), doing(f"testing on {data.name}"):
        delta = settings.get("huber_delta", 0.0)
        result = run(network, data, backend=chosen, huber_delta=delta)
    if dataset is not None and not network.columns:
        for remark in data.notes:  # such as that a tenth is tested
            show.remark(f"{data.name}: {remark}")
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
            f"{data.name}: test {in_words(result.score, result.metric)}{whole} "
            f"(loss {result.loss:.4f}) on {result.images:,} "
            f"{samples(data.columns)}"
        )
        classes.print_tables(data, result)
        values.print_table(data.targets, result)


def tested_by(
    model: Path, network: "Network", dataset: str | None, target: str | None
) -> dict[str, Any]:
    """Return the settings of the model's run; without a run, only the target."""
    from nnx.settings.values import read_value
    from nnx.training.folder import settings_of

    if target is not None and not network.columns:
        raise InputError(
            f"{model}: was not trained on a table's columns: leave out --target"
        )
    settings = settings_of(model, needed=dataset is None) or {"target": ()}
    if target is not None:
        settings["target"] = read_value("target", target)
    return settings


def tested_on(
    model: Path,
    network: "Network",
    settings: Mapping[str, Any],
    dataset: str | None,
    data_dir: Path | None,
) -> "Dataset":
    """Return the given data set, or that of the model's run, to test a network on.

    If the run was trained on the given table or pictures, under any name, they are
    split as in the run: training rows would flatter the network.

    settings: from `tested_by`, or the run's
    """
    from nnx.cli.progress import doing
    from nnx.data.dataset import IN_MEMORY
    from nnx.training.data import load_data
    from nnx.training.evaluate import check_fits
    from nnx.training.scores import samples

    if settings.get("validation_data") == IN_MEMORY:  # nothing is tested on it
        settings = {**settings, "validation_data": ""}
    with doing(f"reading {dataset or settings['dataset']}"):
        own = None
        if dataset is not None and "dataset" in settings:
            own = _own(model, network, settings, dataset)
        data = own or load_data(settings, dataset, data_dir, network=network)
        changed = not own and _is_changed(model, settings, dataset, data)
    if changed:
        check_fits(network, data)
        show.note(
            f"{data.name}: differs from what the run was trained on, so it may be "
            f"tested on {samples(data.columns)} that it was trained on"
        )
    if own:
        what, rows = "these pictures", "pictures"
        if data.columns:
            what, rows = "this table", "rows"
        show.note(
            f"{data.name}: the run was trained on {what}; tested on its "
            f"{len(data.test.labels):,} test {rows} alone"
        )
    return data


def _own(
    model: Path, network: "Network", settings: Mapping[str, Any], dataset: str
) -> "Dataset | None":
    """Return the table or pictures, split as in the model's run, if it had them."""
    from nnx.data.load import is_pictures
    from nnx.training.checkpoint import is_of
    from nnx.training.data import load_data
    from nnx.training.folder import can_resume, of_model

    given, own = Path(os.path.expanduser(dataset)), Path(settings["dataset"])
    run = of_model(model)
    with suppress(InputError, OSError):
        if not (network.columns or (own.is_absolute() and is_pictures(dataset))):
            return None
        # If the run's data are gone, these may be they, moved; the checkpoint decides.
        if own.exists():
            if not _are_alike(own, given):
                return None
        elif not can_resume(run):
            return None
        # Without a checkpoint, columns fitted to the table tell it from others.
        like = network if settings["from"] or can_resume(run) else None
        data = load_data({**settings, "dataset": str(given)}, network=like)
        made = "columns", "targets", "classes", "task"
        if all(getattr(data, name) == getattr(network, name) for name in made):
            return data if is_of(run, data) else None
    return None


def _is_changed(
    model: Path, settings: Mapping[str, Any], dataset: str | None, data: "Dataset"
) -> bool:
    """Return whether the data have the path of what the model's run had, but differ.

    Images in a file, which may be larger than memory, are not read for this.
    """
    from nnx.data.rows import in_file
    from nnx.training.checkpoint import is_of
    from nnx.training.folder import of_model

    own = settings.get("dataset", "")
    # The files of a set that has a name are checked whenever they are read.
    if not os.path.isabs(own) or in_file(data.train.images):
        return False
    paths = {
        os.path.realpath(os.path.expanduser(path)) for path in (own, dataset or own)
    }
    return len(paths) == 1 and not is_of(of_model(model), data)


def _are_alike(one: Path, other: Path) -> bool:
    """Return whether files are the same, or folders have pictures of the same names."""
    from nnx.data.image_folder import relative_paths

    if one.is_file():
        return filecmp.cmp(one, other, shallow=False)
    return relative_paths(one) == relative_paths(other)
