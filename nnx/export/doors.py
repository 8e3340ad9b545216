"""What a network takes and gives outside nnx, the same in every format."""

import json
from typing import Any, NamedTuple

import numpy as np

from nnx.data.dataset import Array
from nnx.network import Network


class Door(NamedTuple):
    """What a network takes, and what is done to it before the first layer.

    name: "pixels" or "features"
    dtype: "uint8" of pixels that are bytes, "float32" of others, "float64" of a table
    factor: what pixels are multiplied by
    mean, scale: (features,), float64; a table's feature becomes (value - mean) / scale;
        None where that changes nothing
    """

    name: str
    dtype: str
    factor: float = 1.0
    mean: Array | None = None
    scale: Array | None = None


def entrance(network: Network) -> Door:
    """Return what the network takes.

    Pixels are in the units of the data it was trained on. A table's numbers are as they
    stand there, and of each column of text there is a 0 or 1 for each category.
    """
    if not network.columns:
        # Of floats the brightest is 1, and bytes would be of no use.
        dtype = "uint8" if 1 < network.frame.maximum <= 255 else "float32"
        return Door("pixels", dtype, network.pixel_scale(np.uint8))
    mean, scale = [], []
    for column in network.columns:
        numeric = not column.categories
        mean += [column.mean if numeric else 0.0] * column.width
        scale += [column.scale if numeric else 1.0] * column.width
    if not any(mean) and all(each == 1.0 for each in scale):
        return Door("features", "float64")
    return Door("features", "float64", 1.0, np.array(mean), np.array(scale))


def feature_names(network: Network) -> list[str]:
    """Return what each feature of a table is, "column" or "column=category"."""
    return [
        f"{column.name}={category}" if column.categories else column.name
        for column in network.columns
        for category in column.categories or ("",)
    ]


def exit_name(network: Network) -> str:
    """Return what the network's outputs are called."""
    return "values" if network.task == "regression" else "probabilities"


def units(network: Network) -> tuple[Array, Array]:
    """Return each target's mean and scale, (targets,) float64, of a regression."""
    targets = network.targets
    return np.array([t.mean for t in targets]), np.array([t.scale for t in targets])


def described(network: Network) -> str:
    """Return in a line what the network is."""
    hidden = dict.fromkeys(network.activation[:-1])
    used = f", {' and '.join(hidden)}" if hidden else ""
    return f"{network}{used}: {network.task}, {network.parameters:,} parameters"


def as_json(value: Any) -> str:
    """Return JSON, the same text each time."""
    return json.dumps(value, sort_keys=True)
