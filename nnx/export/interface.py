"""The inputs and outputs of an exported network, the same in every format."""

import json
from typing import Any, NamedTuple

import numpy as np

from nnx.data.dataset import Array
from nnx.network import Network


class InputSpec(NamedTuple):
    """The input of a network, and its scaling before the first layer.

    name: "pixels" or "features"
    dtype: "uint8" for pixels that are bytes, "float32" for others, "float64" for tables
    factor: the factor for pixels
    mean, scale: (features,), float64; a table's feature becomes (value - mean) / scale;
        None if that changes nothing
    """

    name: str
    dtype: str
    factor: float = 1.0
    mean: Array | None = None
    scale: Array | None = None


def input_spec(network: Network) -> InputSpec:
    """Return the network's input.

    Pixels are from 0 to the maximum of the network's frame. A table's numbers are
    unscaled, with a 0 or 1 for each category of a column of text.
    """
    if not network.columns:
        # A maximum of 1 means floats, for which bytes would be useless.
        dtype = "uint8" if 1 < network.frame.maximum <= 255 else "float32"
        return InputSpec("pixels", dtype, network.pixel_scale(np.uint8))
    mean, scale = [], []
    for column in network.columns:
        numeric = not column.categories
        mean += [column.mean if numeric else 0.0] * column.width
        scale += [column.scale if numeric else 1.0] * column.width
    if not any(mean) and all(factor == 1.0 for factor in scale):
        return InputSpec("features", "float64")
    return InputSpec("features", "float64", 1.0, np.array(mean), np.array(scale))


def feature_names(network: Network) -> list[str]:
    """Return the name of each feature of a table, "column" or "column=category"."""
    return [
        f"{column.name}={category}" if column.categories else column.name
        for column in network.columns
        for category in column.categories or ("",)
    ]


def output_name(network: Network) -> str:
    """Return the name of the network's outputs."""
    return "values" if network.task == "regression" else "probabilities"


def described(network: Network) -> str:
    """Return a one-line description of the network."""
    hidden = dict.fromkeys(network.activation[:-1])
    used = f", {' and '.join(hidden)}" if hidden else ""
    return f"{network}{used}: {network.task}, {network.parameters:,} parameters"


def as_json(value: Any) -> str:
    """Return JSON with sorted keys, so that the text is always the same."""
    return json.dumps(value, sort_keys=True)
