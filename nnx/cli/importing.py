"""`nnx import`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from nnx.cli import show
from nnx.cli.options import DataDir, DatasetOption, expanded, path
from nnx.errors import InputError


def import_(
    weights: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="PyTorch's weights: .safetensors, .pt or .pth."
        ),
    ],
    out: Annotated[
        Path, path("The model to write: model.safetensors.", metavar="FILE")
    ],
    activation: Annotated[
        str | None,
        typer.Option(help="Of the hidden layers; or one for each: relu,tanh."),
    ] = None,
    dataset: DatasetOption = None,
    data_dir: DataDir = None,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="The column that --dataset, a table, is for."
        ),
    ] = None,
    pixels: Annotated[
        str,
        typer.Option(help="What it was trained on: unit, pixels in [0, 1], or raw."),
    ] = "unit",
    normalize: Annotated[
        str | None,
        typer.Option(
            metavar="MEAN,DEVIATION",
            help="How pixels in [0, 1] were normalized: 0.1307,0.3081.",
        ),
    ] = None,
    layers: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="The layers' names in order, where no numbers in them tell it: "
            "fc1,fc2,out.",
        ),
    ] = "",
) -> None:
    """Make a model of PyTorch's weights, for every command that takes one.

    The file is a state_dict of linear layers. What 'nnx export --pytorch'
    wrote says itself what it is; of others, name the activation, and the data
    set that it is for. A .pt or .pth needs PyTorch, and no code in it is run.
    scikit-learn's networks come in from Python: nnx.from_sklearn.

    [bold]Examples[/bold]

    nnx import weights.safetensors --out model.safetensors

    nnx import mlp.pt --activation relu --dataset mnist --out mnist.safetensors
    """
    from nnx.data.load import load
    from nnx.export.from_pytorch import from_pytorch

    if out.suffix.lower() != ".safetensors":
        raise InputError(f"{out}: a model's name ends in .safetensors")
    if os.path.lexists(out):
        raise InputError(f"{out}: is there already; choose another --out")
    for name, value in ("data-dir", data_dir), ("target", target):
        if value is not None and dataset is None:
            raise InputError(f"--{name} is for --dataset: give it too")
    data = None
    if dataset is not None:
        data = load(dataset, data_dir, target=target or ())
    network = from_pytorch(
        expanded(str(weights)),
        activation,
        data=data,
        pixels=pixels,
        normalize=None if normalize is None else _numbers(normalize),
        layers=layers.split(",") if layers else (),
    )
    network.save(out)
    show.line(f"{out}: {network}, {network.parameters:,} parameters")


def _numbers(text: str) -> tuple[float, float]:
    try:
        mean, deviation = map(float, text.split(","))
    except ValueError:
        raise InputError(
            f"--normalize takes a mean and a deviation, 0.1307,0.3081, not {text!r}"
        ) from None
    return mean, deviation
