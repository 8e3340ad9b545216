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

# By each format's option: what it writes, and the suffixes of such files.
ENDINGS = {
    "html": ("a page's name", (".html", ".htm")),
    "onnx": ("an ONNX file's name", (".onnx",)),
    "pytorch": ("the name of a file of PyTorch weights", (".safetensors",)),
    "c": ("a header's name", (".h",)),
    "card": ("a model card's name", (".md",)),
}
File = Path | None


def export(
    model: ModelArgument,
    html: Annotated[
        File, path("Web page to draw on, with the network in it.", metavar="FILE")
    ] = None,
    onnx: Annotated[
        File, path("ONNX model, from raw pixels to probabilities.", metavar="FILE")
    ] = None,
    pytorch: Annotated[
        File,
        path(
            "PyTorch weights, a state_dict in .safetensors; prints the code that "
            "loads them.",
            metavar="FILE",
        ),
    ] = None,
    c: Annotated[
        File, path("C99 header, FILE.h, with one function.", metavar="FILE")
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Store the header's weights in 8 bits.")
    ] = False,
    card: Annotated[
        File,
        path("Model card, README.md, as model hubs read it.", metavar="FILE"),
    ] = None,
    dataset: DatasetOption = None,
    data_dir: DataDir = None,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="Column of --dataset to predict, if it is a table."
        ),
    ] = None,
) -> None:
    """Write a trained network as a web page, ONNX, PyTorch weights, C or a model card.

    Several can be written at once. The page is that of 'nnx serve', computes
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
    if not (int8 or card):
        _refuse_data(dataset=dataset, data_dir=data_dir, target=target)
    network = (classifier_of_pictures if html else Network.load)(model)
    data, settings = None, None
    if int8 or card:
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
        every = " or ".join(f"--{name} FILE" for name in ENDINGS)
        raise InputError(f"nothing to write: give {every}")
    if int8 and "c" not in asked:
        raise InputError("--int8 is for a C header: give --c FILE too")
    for name, file in asked.items():
        what, endings = ENDINGS[name]
        if file.suffix.lower() not in endings:
            raise InputError(f"{file}: {what} must end in {endings[0]}")
    if "pytorch" in asked:
        state_dict.check_replaceable(asked["pytorch"])
    if "card" in asked:
        model_card.check_replaceable(asked["card"])


def _refuse_data(**given: Any) -> None:
    """Refuse options that name data where nothing is tested."""
    for name, value in given.items():
        if value is not None:
            option = name.replace("_", "-")
            raise InputError(
                f"--{option} is for --card and --int8, which test the network: leave "
                "it out"
            )


def _content(
    name: str,
    network: "Network",
    int8: bool,
    data: "Dataset | None",
    settings: dict[str, Any] | None,
) -> tuple[bytes, str]:
    """Return a file's content, and a remark on it or ""."""
    from nnx.export import c_content, model_card, onnx_graph, state_dict

    if name == "html":
        from nnx.page.render import page

        return page(network, alone=True).html.encode(), ""
    if name == "c":
        return c_content(network, int8=int8, data=data)
    if name == "card" and data is not None:
        return model_card.content(network, data, settings), ""
    return {"onnx": onnx_graph, "pytorch": state_dict}[name].content(network), ""


def _tested_on(
    model: Path,
    network: "Network",
    dataset: str | None,
    data_dir: Path | None,
    target: str | None,
) -> tuple["Dataset | None", dict[str, Any] | None]:
    """Return the data to test on, and the settings of the model's run, if any."""
    settings = tested_by(model, network, dataset, target)
    data = tested_on(model, network, settings, dataset, data_dir)
    return data, settings if "epochs" in settings else None
