"""`nnx predict`."""

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nnx.automatic import DEFAULT
from nnx.cli import predict_table, show
from nnx.cli.options import (
    BackendOption,
    Device,
    Json,
    ModelArgument,
    backend_of,
    network_of_pictures,
    path,
)
from nnx.errors import InputError

if TYPE_CHECKING:
    from nnx.backend import Backend
    from nnx.data.picture import Picture
    from nnx.network import Network

DOUBTFUL = 5  # exit status if any answer is doubted
# Characters left for the columns after the file's name and the label, of 80.
ROOM = 60


def predict(
    model: ModelArgument,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE",
            help="Pictures of any size (PNG, JPEG, BMP, GIF or PNM) and folders of "
            "them; or one table: CSV, TSV, Parquet, or an .npz of pictures.",
        ),
    ],
    out: Annotated[
        Path | None,
        path("For a table: CSV file to write (default: stdout).", "FILE"),
    ] = None,
    id: Annotated[
        str,
        typer.Option(
            help="For a table: column that identifies its rows, to be copied "
            "(default: row numbers from 1).",
            metavar="COLUMN",
        ),
    ] = "",
    probabilities: Annotated[
        bool,
        typer.Option(
            "--probabilities", help="For a table: also write each class's probability."
        ),
    ] = False,
    format: Annotated[
        str,
        typer.Option(
            help="For a table: csv, or kaggle for the columns ImageId,Label of "
            "Kaggle's Digit Recognizer.",
            metavar="NAME",
        ),
    ] = "csv",
    backend: BackendOption = DEFAULT,
    device: Device = None,
    json: Json = False,
) -> None:
    """Predict what pictures show, or the target of a table's rows.

    A picture may be of any size and color; dark ink on light paper is found and
    inverted, and the digit is centered as in the training data.

    A table has one row per sample, without the column to predict. The columns that a
    network was trained on are matched by name; pixels are taken in their order.

    [bold]Examples[/bold]

    nnx predict runs/mine digit.png

    nnx predict runs/mine test.csv --out submission.csv

    nnx predict runs/mine test.csv --id PassengerId --probabilities
    """
    from nnx.data.unlabelled import KINDS

    _check_order(model, files)
    chosen = backend_of(backend, device)
    form = predict_table.Form(id, format, probabilities)
    if not any(file.suffix.lower() in KINDS for file in files):
        if out is not None or form != predict_table.Form():
            raise InputError(
                "--out, --id, --probabilities and --format are for a table: give one "
                f"of {', '.join(KINDS)}"
            )
        _of_pictures(model, files, chosen, json)
        return
    if len(files) > 1:
        raise InputError("give one table, and no other file")
    if json and out is None:
        raise InputError("a table's predictions are CSV: give --out with --json")
    [table] = files
    rows = predict_table.predict(model, table, out, form, chosen)
    if json:
        show.as_json({"table": str(table), "rows": rows, "out": str(out)})
    elif out is not None:
        show.line(f"{out}: {rows:,} rows predicted")


def _check_order(model: Path, files: list[Path]) -> None:
    """Refuse a picture or a table where the model should be."""
    from nnx.data import image_folder, unlabelled

    kinds = *image_folder.SUFFIXES, *unlabelled.KINDS
    if model.suffix.lower() in kinds and not model.is_dir():
        models = [f for f in files if f.is_dir() or f.suffix == ".safetensors"]
        first = models[0] if models else "RUN"
        raise InputError(
            f"{model}: is not a model, which comes first: nnx predict {first} {model}"
        )


def _all_of(files: list[Path]) -> list[Path]:
    """Return files, with each folder that has pictures replaced by these."""
    from nnx.data.image_folder import pictures_in

    pictures = list[Path]()
    for file in files:
        inside = list[Path]()
        with suppress(InputError):  # no folder, or what `_read` raises
            inside = pictures_in(file)
        pictures += inside or [file]
    return pictures


def _read(file: Path, network: "Network") -> "Picture":
    """Return the picture in a file, prepared for a network.

    Raises:
        InputError: the file cannot be read, or is a folder without pictures
    """
    from nnx.data.image_folder import pictures_in
    from nnx.data.picture import read

    # Unlike Path.is_dir, this never raises.
    if os.path.isdir(file) and not pictures_in(file):
        raise InputError(
            f"{file}: not a file, but a folder without pictures; give each of its "
            "subfolders that has some"
        )
    return read(file, network.frame)


def _of_pictures(
    model: Path, files: list[Path], backend: "Backend", json: bool
) -> None:
    """Print what each picture shows, and which answers are doubted."""
    from nnx.likeness import doubt

    network = network_of_pictures(model, "give a table, as in nnx predict RUN test.csv")
    rows, pictures = [], _all_of(files)
    for file in pictures:
        try:
            picture = _read(file, network)
        except InputError as error:
            show.note(f"nnx: {error}")
            continue
        row = _row(file, network, picture.pixels[None], backend)
        rows.append(row | {"doubt": doubt(network, picture, backend=backend)})
        show.note(f"{file}: {'; '.join(picture.steps)}")
    if json:
        show.as_json({"predictions": rows})
    elif rows and network.task == "classification":
        _tables(network.classes, rows)
    elif rows:
        _numbers(network, rows)
    if len(rows) < len(pictures):
        raise typer.Exit(1)
    if any(row["doubt"] for row in rows):
        raise typer.Exit(DOUBTFUL)


def _row(
    file: Path, network: "Network", pixels: Any, backend: "Backend"
) -> dict[str, Any]:
    """Return the prediction for a picture, in the form of JSON."""
    if network.task == "regression":
        values = network.predict(pixels, backend=backend).ravel()
        names = (target.name for target in network.targets)
        named = dict(zip(names, map(float, values), strict=True))
        return {"file": str(file), "values": named}
    chances = network.predict_proba(pixels, backend=backend)[0]
    shares = [float(chance) for chance in chances]
    if network.task == "multilabel":
        labels = [
            n for n, share in zip(network.classes, shares, strict=True) if share > 0.5
        ]
        return {"file": str(file), "labels": labels, "probabilities": shares}
    best = int(chances.argmax())
    return {
        "file": str(file),
        "label": network.classes[best],
        "confidence": float(chances[best]),
        "probabilities": shares,
    }


def _tables(classes: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    """Print a table of all probabilities, or of the best ones if there is no room."""
    from nnx.training.scores import percent

    title, columns = "", ["confidence"]
    chances = [[percent(row["confidence"])] for row in rows]
    room = ROOM - max(len(row["doubt"] or "") for row in rows)
    if sum(max(6, len(name) + 1) for name in classes) <= room:
        title, columns = "probability of each class in %", list(classes)
        chances = [[f"{100 * p:.1f}" for p in row["probabilities"]] for row in rows]
    cells = [[row["label"], *own] for row, own in zip(rows, chances, strict=True)]
    _print(title, ["label", *columns], rows, cells)


def _numbers(network: "Network", rows: list[dict[str, Any]]) -> None:
    """Print a table of values, or of each label's probability."""
    from nnx.training.scores import quantity

    if network.task == "regression":
        columns = [target.name for target in network.targets]
        cells = [[quantity(v) for v in row["values"].values()] for row in rows]
        title = ""
    else:
        columns, title = list(network.classes), "probability of each label in %"
        cells = [[f"{100 * p:.1f}" for p in row["probabilities"]] for row in rows]
    _print(title, columns, rows, cells)


def _print(
    title: str, columns: list[str], rows: list[dict[str, Any]], cells: list[list[str]]
) -> None:
    """Print a table of file names, these columns and, if there are any, doubts."""
    if any(row["doubt"] for row in rows):
        columns = [*columns, "doubt"]
        cells = [
            [*own, row["doubt"] or ""] for row, own in zip(rows, cells, strict=True)
        ]
    lines = [[row["file"], *own] for row, own in zip(rows, cells, strict=True)]
    show.table(title, ["file", *columns], lines)
