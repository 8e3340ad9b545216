"""A network as PyTorch's weights: the `state_dict` of a Sequential, in safetensors."""

import os
from contextlib import suppress
from pathlib import Path

import numpy as np

from nnx import model_file
from nnx.data.dataset import Array, units
from nnx.errors import InputError, printable
from nnx.export.interface import as_json, feature_names, input_spec
from nnx.maths.activations import LEAKY_SLOPE
from nnx.network import Network
from nnx.tensors import read

KEY = "nnx_state_dict"
MOST_NAMES = 12
# PyTorch's modules of nnx's activations, as it prints them.
MODULES = {
    "identity": "Identity()",
    "relu": "ReLU()",
    "leaky_relu": f"LeakyReLU(negative_slope={LEAKY_SLOPE})",
    "elu": "ELU(alpha=1.0)",
    "tanh": "Tanh()",
    "sigmoid": "Sigmoid()",
    "softplus": "Softplus(beta=1.0, threshold=20.0)",
    "silu": "SiLU()",
    "gelu": "GELU(approximate='tanh')",
}
FROM_METADATA = """
with safe_open({file}, "pt") as file:
    about = json.loads(file.metadata()["{key}"])
of = {{
    name: torch.tensor(about[name], dtype=torch.float64)
    for name in ({names})
}}"""


def content(network: Network) -> bytes:
    """Return the content of a network's file, which `nnx.from_pytorch` can read."""
    from safetensors.numpy import save as serialize

    tensors = {
        f"{2 * i}.{name}": np.ascontiguousarray(array)
        for i, layer in enumerate(network.layers)
        for name, array in (("weight", layer.weight.T), ("bias", layer.bias))
    }
    about = model_file.describe(vars(network)) | _scaling(network)
    about["crc32"] = model_file.crc32(about, tensors)
    # A single key, because safetensors writes several keys in random order.
    return bytes(serialize(tensors, {KEY: as_json(about)}))


def check_replaceable(path: Path) -> None:
    """Refuse to overwrite a model of nnx, which has the same suffix."""
    metadata: dict[str, str] = {}
    if os.path.isfile(path):
        with suppress(InputError):  # a file that is not safetensors may be replaced
            metadata, _ = read(path)
    if model_file.KEY in metadata:
        raise InputError(f"{path}: is a model of nnx; choose another name")


def _scaling(network: Network) -> dict[str, list[float] | float]:
    """Return the scaling between the units of the data and of the Sequential."""
    spec, scaling = input_spec(network), dict[str, list[float] | float]()
    if spec.mean is not None and spec.scale is not None:
        scaling |= {"mean": spec.mean.tolist(), "scale": spec.scale.tolist()}
    if network.task == "regression":
        mean, scale = units(network.targets)
        scaling |= {"target_mean": mean.tolist(), "target_scale": scale.tolist()}
    return scaling or {"factor": spec.factor}


def recipe(network: Network, path: Path) -> str:
    """Return PyTorch code that builds the network and loads the file."""
    spec, scaling = input_spec(network), _scaling(network)
    file, is_double = as_json(str(path)), network.layers[0].weight.dtype == np.float64
    lines = ["import torch", "from safetensors.torch import load_file", ""]
    if stored := [name for name in scaling if name != "factor"]:
        lines = ["import json", "", lines[0], "from safetensors import safe_open"]
        lines += ["from safetensors.torch import load_file", ""]
    lines += ["model = torch.nn.Sequential(", *_modules(network)]
    lines += [f"){'.double()' if is_double else ''}"]
    lines += [f"model.load_state_dict(load_file({file}))"]
    if stored:
        names = ", ".join(map(as_json, stored))
        lines += FROM_METADATA.format(file=file, key=KEY, names=names).split("\n")[1:]
    x = spec.name
    if "mean" in scaling:
        x = f'(({x} - of["mean"]) / of["scale"])'
    x += ".double()" if is_double else ".float()"
    if spec.factor != 1.0:
        x += f" * {spec.factor!r}"
    lines += ["", f"# {spec.name} (n, {network.sizes[0]}){_units(network)}"]
    lines += [f"x = {x}", _outputs(network, "model(x)")]
    return "\n".join(lines)


def _modules(network: Network) -> list[str]:
    lines = list[str]()
    for layer, activation in zip(network.layers, network.activation, strict=True):
        sizes = ", ".join(map(str, layer.weight.shape))
        lines += [f"    torch.nn.Linear({sizes}),"]
        lines += [f"    torch.nn.{MODULES[activation]},"]
    return lines[:-1]


def _units(network: Network) -> str:
    """Return a remark on the input for a comment; escaped names cannot end its line."""
    if not network.columns:
        return f", from 0 to {network.frame.maximum}"
    names = [printable(name) for name in feature_names(network)]
    return f": {', '.join(names[:MOST_NAMES])}{', …' if names[MOST_NAMES:] else ''}"


def _outputs(network: Network, logits: str) -> str:
    if network.task == "classification":
        return f"probabilities = torch.softmax({logits}, dim=1)"
    if network.task == "multilabel":
        return f"probabilities = torch.sigmoid({logits})"
    return f'values = {logits} * of["target_scale"] + of["target_mean"]'


def arrays_of(tensors: dict[str, Array]) -> dict[str, Array]:
    """Return the tensors of `content` by their names in a model file."""
    arrays = dict[str, Array]()
    for key, array in tensors.items():
        place, _, name = key.rpartition(".")
        layer = int(place) // 2
        turned = array.T if name == "weight" else array
        arrays[f"layers.{layer}.{name}"] = np.ascontiguousarray(turned)
    return arrays
