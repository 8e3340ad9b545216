"""`nnx export`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nnx.cli import show
from nnx.cli.evaluate import tested_by, tested_on
from nnx.cli.options import (
    DataDir,
    DatasetOption,
    ModelArgument,
    classifier_of_pictures,
    path,
)
from nnx.errors import InputError

if TYPE_CHECKING:
    from nnx.data.dataset import Dataset
    from nnx.network import Network

# Each format's option, what it writes, and how such files may end.
ENDINGS = {
    "html": ("a page's name", (".html", ".htm")),
    "onnx": ("the name of a file of ONNX", (".onnx",)),
    "pytorch": ("the name of PyTorch's weights", (".safetensors",)),
    "c": ("a header's name", (".h",)),
    "card": ("a model card's name", (".md",)),
}
File = Path | None


def export(
    model: ModelArgument,
    html: Annotated[
        File, path("A page to draw on, with the weights in it.", metavar="FILE")
    ] = None,
    onnx: Annotated[
        File, path("ONNX, from raw pixels to probabilities.", metavar="FILE")
    ] = None,
    pytorch: Annotated[
        File,
        path(
            "PyTorch's weights, a state_dict in .safetensors; prints the lines that "
            "load them.",
            metavar="FILE",
        ),
    ] = None,
    c: Annotated[
        File, path("A header of C99, FILE.h, with one function.", metavar="FILE")
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="The header's weights in 8 bits.")
    ] = False,
    card: Annotated[
        File,
        path("A model card, README.md, as model hubs read it.", metavar="FILE"),
    ] = None,
    dataset: DatasetOption = None,
    data_dir: DataDir = None,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="The column of --dataset to test on, of a table."
        ),
    ] = None,
) -> None:
    """Write a trained network for where nnx is not: a page, ONNX, PyTorch, C, a hub.

    Several at once, if asked for. The page is that of 'nnx serve', computes
    in the browser, and needs no server. --int8 and --card test the network,
    on --dataset or the data that it was trained on.

    [bold]Examples[/bold]

    nnx export runs/mine --html digits.html

    nnx export runs/mine --onnx digits.onnx --c digits.h --card README.md
    """
    from nnx import files
    from nnx.export import state_dict
    from nnx.network import Network

    names = {"html": html, "onnx": onnx, "pytorch": pytorch, "c": c, "card": card}
    asked = {name: file for name, file in names.items() if file is not None}
    _check_names(asked, int8)
    network = (classifier_of_pictures if html else Network.load)(model)
    data, settings = None, None
    if int8 or card is not None:
        data, settings = _tested_on(model, network, dataset, data_dir, target)
    made = {
        file: _content(name, network, int8, data, settings)
        for name, file in asked.items()
    }
    for file, (content, _) in made.items():
        files.write(file, content)
        show.line(str(file))
    for _, said in made.values():
        if said:
            show.line(said)
    if pytorch is not None:
        show.line(f"\n{state_dict.recipe(network, pytorch)}")


def _check_names(asked: dict[str, Path], int8: bool) -> None:
    """Refuse names before anything is computed."""
    from nnx.export import model_card, state_dict

    if not asked:
        every = ", ".join(f"--{name} FILE" for name in ENDINGS)
        raise InputError(f"what is to be written? give {every}")
    if int8 and "c" not in asked:
        raise InputError("--int8 is for a header of C: give --c FILE too")
    for name, file in asked.items():
        what, endings = ENDINGS[name]
        if file.suffix.lower() not in endings:
            raise InputError(f"{file}: {what} ends in {endings[0]}")
    if "pytorch" in asked:
        state_dict.check_replaceable(asked["pytorch"])
    if "card" in asked:
        model_card.check_replaceable(asked["card"])


def _content(
    name: str,
    network: "Network",
    int8: bool,
    data: "Dataset | None",
    settings: dict[str, Any] | None,
) -> tuple[bytes, str]:
    """Return what a file holds, and what there is to say of it."""
    from nnx.export import c_content, model_card, onnx_graph, state_dict

    if name == "onnx":
        return onnx_graph.content(network), ""
    if name == "pytorch":
        return state_dict.content(network), ""
    if name == "c":
        return c_content(network, int8=int8, data=data)
    if name == "card" and data is not None:
        return model_card.content(network, data, settings), ""
    from nnx.page.render import page

    return page(network, alone=True).html.encode(), ""


def _tested_on(
    model: Path,
    network: "Network",
    dataset: str | None,
    data_dir: Path | None,
    target: str | None,
) -> tuple["Dataset | None", dict[str, Any] | None]:
    """Return the data, and the settings of the model's run where there are any."""
    settings = tested_by(model, dataset, target)
    data = tested_on(model, network, settings, dataset, data_dir)
    return data, settings if "epochs" in settings else None
