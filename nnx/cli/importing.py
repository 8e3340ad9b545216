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
            metavar="FILE", help="PyTorch weights: .safetensors, .pt or .pth."
        ),
    ],
    out: Annotated[
        Path, path("Model file to write, such as model.safetensors.", metavar="FILE")
    ],
    activation: Annotated[
        str | None,
        typer.Option(
            help="Activation function of the hidden layers, or one per layer: "
            "relu,tanh. gelu is the tanh approximation."
        ),
    ] = None,
    dataset: DatasetOption = None,
    data_dir: DataDir = None,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Column that the network predicts, if --dataset is a table.",
        ),
    ] = None,
    pixels: Annotated[
        str,
        typer.Option(help="Pixels that it was trained on: unit (in [0, 1]) or raw."),
    ] = "unit",
    normalize: Annotated[
        str | None,
        typer.Option(
            metavar="MEAN,DEVIATION",
            help="Mean and standard deviation by which pixels in [0, 1] were "
            "normalized: 0.1307,0.3081.",
        ),
    ] = None,
    layers: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="Names of the layers in order, if they are not numbered: fc1,fc2,out.",
        ),
    ] = "",
) -> None:
    """Convert PyTorch weights to a model, for every command that takes one.

    The file is a state_dict of linear layers. One that 'nnx export --pytorch'
    wrote describes itself; for others, name the activation, and the data set
    that it is for. Reading a .pt or .pth needs PyTorch, and runs no code in it.
    To convert networks of scikit-learn, use nnx.from_sklearn in Python.

    [bold]Examples[/bold]

    nnx import weights.safetensors --out model.safetensors

    nnx import mlp.pt --activation relu --dataset mnist --out mnist.safetensors
    """
    from nnx.data.load import load
    from nnx.export.from_pytorch import from_pytorch

    if out.suffix.lower() != ".safetensors":
        raise InputError(f"{out}: a model's name must end in .safetensors")
    if os.path.lexists(out):
        raise InputError(f"{out}: already exists; choose another --out")
    for name, value in ("data-dir", data_dir), ("target", target):
        if value is not None and dataset is None:
            raise InputError(f"--{name} needs --dataset: give it too")
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
            "--normalize takes a mean and a deviation, as in 0.1307,0.3081, not "
            f"{text!r}"
        ) from None
    return mean, deviation
