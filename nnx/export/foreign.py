"""Making a network from layers that another library has trained."""

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nnx.data import given
from nnx.data.dataset import Array, Dataset
from nnx.errors import InputError, in_few_words
from nnx.export.state_dict import MODULES
from nnx.maths.state import Layer, Layers
from nnx.network import Network
from nnx.settings.values import read_value

# The activations of nnx, by what PyTorch prints for their modules.
_ACTIVATIONS = {module: name for name, module in MODULES.items()}
_ACTIVATIONS["GELU(approximate='none')"] = "gelu"
_WITHOUT_EFFECT = "Dropout", "Flatten", "Identity"
_PROBABILITIES = "Softmax", "LogSoftmax"  # nnx makes them of a network's outputs, too


def made(
    source: Path,
    layers: Layers,
    activation: str | Sequence[str] | None,
    data: Dataset | None,
    pixels: str,
    normalize: tuple[float, float] | None = None,
) -> Network:
    """Return a network with these layers, and with what their file does not state.

    layers: their sizes fit each other
    activation, data, pixels, normalize: as for `nnx.from_pytorch`
    """
    if activation is None and len(layers) > 1:
        raise InputError(
            f"{source}: does not say which activation its hidden layers have: give "
            "activation, as in relu"
        )
    data = None if data is None else given.loaded(data)
    pixels = read_value("pixels", pixels)
    if normalize is not None:
        layers = [_normalized(layers[0], normalize, pixels, data), *layers[1:]]
    sizes = [layers[0].weight.shape[0], *(len(bias) for _, bias in layers)]
    network = Network(
        sizes,
        "identity" if activation is None else activation,
        init="zeros",
    ).replace(layers=layers, pixels=pixels)
    if data is None:
        return network
    theirs = data.train.images.shape[1], data.outputs
    own = network.sizes[0], network.sizes[-1]
    if theirs != own:
        raise InputError(
            f"{source}: takes {own[0]} features and gives {own[1]} outputs; "
            f"{data.name} has {theirs[0]} and {theirs[1]}"
        )
    names = "classes", "frame", "task", "columns", "targets"
    return network.replace(**{name: getattr(data, name) for name in names})


def _normalized(
    layer: Layer, normalize: tuple[float, float], pixels: str, data: Dataset | None
) -> Layer:
    """Return a first layer that takes pixels before normalization."""
    try:
        numbers = np.asarray(normalize, np.float64)
    except (OverflowError, TypeError, ValueError):
        numbers = np.zeros(0)
    if numbers.shape != (2,) or not np.isfinite(numbers).all() or numbers[1] <= 0:
        raise InputError(
            "normalize must be a mean and a deviation above 0, as in 0.1307,0.3081, "
            f"not {in_few_words(normalize)}"
        )
    if pixels != "unit" or (data is not None and data.columns):
        raise InputError("normalize is for pixels that were in [0, 1] before")
    mean, deviation = numbers
    weight: Array = layer.weight.astype(np.float64) / deviation
    bias = layer.bias - mean * weight.sum(axis=0)
    kind = layer.weight.dtype
    return Layer(weight.astype(kind), bias.astype(kind))


def of_module(module: Any, activation: Any) -> tuple[Any, Any]:
    """Return a PyTorch module's state dict and its activation; warn of an exact GELU.

    activation: as for `nnx.Network`; None: what the module states, if anything

    Raises:
        InputError: the module states another activation
    """
    parts = module.modules() if hasattr(module, "modules") else ()
    kinds = {getattr(m, "approximate", "") for m in parts if type(m).__name__ == "GELU"}
    if kinds - {"tanh"}:
        warnings.warn(
            "the module has a GELU that is exact; nnx's gelu is GELU(approximate="
            '"tanh"), so its outputs differ slightly',
            stacklevel=3,
        )
    stated = _stated(module)
    if stated and activation is not None:
        named = read_value("activation", activation)
        if (named * len(stated) if len(named) == 1 else named) != stated:
            raise InputError(
                f"the module has the activation {','.join(stated)}, not "
                f"{','.join(named)}: leave activation out"
            )
    return module.state_dict(), stated or activation


def _stated(module: Any) -> tuple[str, ...]:
    """Return the activation of each hidden layer of a Sequential.

    Empty if there is none, or if another part or code of its own decides what it does.
    """
    activations = list[str]()
    parts = [*module] if type(module).__name__ == "Sequential" else []
    if parts and type(parts[-1]).__name__ in _PROBABILITIES:
        parts.pop()
    for part in parts:
        kind, printed = type(part).__name__, re.sub("(, )?inplace=True", "", repr(part))
        name = _ACTIVATIONS.get(printed, "")
        if kind == "Linear":
            activations.append("identity")
        elif name and activations[-1:] == ["identity"]:
            activations[-1] = name
        elif kind not in _WITHOUT_EFFECT:
            return ()
    return tuple(activations[:-1]) if activations[-1:] == ["identity"] else ()
