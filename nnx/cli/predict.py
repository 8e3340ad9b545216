"""`nnx predict`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nnx.automatic import DEFAULT
from nnx.cli import show
from nnx.cli.options import (
    BackendOption,
    Device,
    Json,
    ModelArgument,
    network_of_pictures,
    on,
)
from nnx.errors import InputError

if TYPE_CHECKING:
    from nnx.network import Network

UNSURE = 0.5
# Characters beside the file's name and the label, on a terminal of 80.
ROOM = 60


def predict(
    model: ModelArgument,
    pictures: Annotated[
        list[Path],
        typer.Argument(metavar="FILE…", help="PNG, JPEG, BMP, GIF or PGM, any size."),
    ],
    backend: BackendOption = DEFAULT,
    device: Device = None,
    json: Json = False,
) -> None:
    """Say which digit each picture shows, and how probable each class is.

    A picture may be of any size and colour; dark ink on light paper is found and
    inverted, and the digit is centred as in the training data.
    """
    from nnx.backend import choose
    from nnx.data.picture import read

    network = network_of_pictures(model)
    chosen = choose(backend, **on(device))
    rows = []
    for path in pictures:
        try:
            picture = read(path, network.frame)
        except InputError as error:
            show.note(f"nnx: {error}")
            continue
        chances = network.predict_proba(picture.pixels[None], backend=chosen)[0]
        rows.append(_row(path, network, chances))
        show.note(f"{path}: {'; '.join(picture.steps)}")
        if picture.blank or rows[-1]["confidence"] < UNSURE:
            show.note(f"{path}: the answer is hardly more than a guess")
    if json:
        show.as_json({"predictions": rows})
    else:
        _tables(network.classes, rows)
    if len(rows) < len(pictures):
        raise typer.Exit(1)


def _row(path: Path, network: "Network", chances: Any) -> dict[str, Any]:
    best = int(chances.argmax())
    return {
        "file": str(path),
        "label": network.classes[best],
        "confidence": float(chances[best]),
        "probabilities": [float(chance) for chance in chances],
    }


def _tables(classes: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    """Print a table of probabilities; of the best ones, where all have no room."""
    if not rows:
        return
    title, columns = "", ["confidence"]
    chances = [[show.percent(row["confidence"])] for row in rows]
    if sum(max(6, len(name) + 1) for name in classes) <= ROOM:
        title, columns = "probability of each class in %", list(classes)
        chances = [[f"{100 * p:.1f}" for p in row["probabilities"]] for row in rows]
    cells = [
        [row["file"], row["label"], *own]
        for row, own in zip(rows, chances, strict=True)
    ]
    show.table(title, ["file", "label", *columns], cells)
