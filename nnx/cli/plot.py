"""`nnx plot`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nnx.cli import show
from nnx.cli.evaluate import tested_on
from nnx.cli.options import DataDir, DatasetOption, path
from nnx.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nnx.training.log import Row


def plot(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Run's folder; several are compared."),
    ],
    out: Annotated[
        Path | None,
        path(
            "Folder for the pictures (default: the run's; for several runs, the "
            "current one)."
        ),
    ] = None,
    svg: Annotated[
        bool, typer.Option("--svg", help="Draw SVG files instead of PNG.")
    ] = False,
    dataset: DatasetOption = None,
    data_dir: DataDir = None,
) -> None:
    """Draw pictures of a run, or compare several in one.

    For one run: loss, accuracy and learning rate; the confusion matrix; the first
    layer's weights; outputs of hidden units, and how many are dead; the most confident
    mistakes; and predictions for the first test images. For a regression, predicted
    against true values and the residuals; for several labels, precision and recall.
    report.html has all of them, the results and the settings in one file.

    [bold]Examples[/bold]

    nnx plot runs/mine

    nnx plot runs/one runs/other --out pictures
    """
    from nnx import files
    from nnx.report import style

    if len(runs) > 1 and (dataset is not None or data_dir is not None):
        raise InputError(
            "--dataset and --data-dir are for one RUN: several are compared by their "
            "logs"
        )
    kind = "svg" if svg else "png"
    folder = out or (runs[0] if len(runs) == 1 else Path())
    if out is not None:
        with files.holding(out, "pictures"):
            out.mkdir(parents=True, exist_ok=True)
    if len(runs) == 1:
        for file in _of_one(runs[0], folder, kind, dataset, data_dir):
            show.line(str(file))
    else:
        file = folder / f"compared.{kind}"
        with style.own_settings():
            files.write(file, style.encoded(_compared(runs), kind))
        show.line(str(file))


def _of_one(
    run: Path, folder: Path, kind: str, dataset: str | None, data_dir: Path | None
) -> list[Path]:
    """Write a run's pictures and report; return the files."""
    from nnx.cli.progress import doing
    from nnx.network import Network
    from nnx.report.write import write
    from nnx.training.checkpoint import is_of
    from nnx.training.evaluate import evaluate
    from nnx.training.folder import load_settings

    settings = load_settings(run)
    network, log = Network.load(run), _log(run)
    data = tested_on(run, network, settings, dataset, data_dir)
    test = evaluate(network, data, huber_delta=settings["huber_delta"])
    if data.source != settings["dataset"] and not is_of(run, data):
        show.note(f"nnx: {data.name}: not the data that this run was trained on")
    with doing("drawing"):
        return write(folder, kind, network, data, settings, log, test)


def _compared(runs: list[Path]) -> "Figure":
    """Return the figure that compares runs."""
    from nnx.report.curves import compared

    return compared({str(run): _log(run) for run in runs})


def _log(run: Path) -> "tuple[Row, ...]":
    """Return a run's log."""
    from nnx.files import read
    from nnx.training.folder import LOG_NAME
    from nnx.training.log import MAX_BYTES, from_csv

    file = run / LOG_NAME
    return from_csv(read(file, MAX_BYTES), str(file))
