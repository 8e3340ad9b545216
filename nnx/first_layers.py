"""The layers of a new network: its arguments are checked and its weights drawn."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from nnx import memory
from nnx.errors import InputError, OutOfMemoryError, in_few_words
from nnx.maths import initializers
from nnx.maths.activations import ACTIVATIONS
from nnx.maths.state import Layer, Layers
from nnx.settings.plain import plain
from nnx.settings.values import read_value

LARGEST = 2**31 - 1
# Bytes per number of the weight being drawn, for random words and the float64 result.
DRAWING_BYTES = 32


def first_layers(
    sizes: Any, activation: Any, init: Any, seed: Any, dtype: Any
) -> tuple[Layers, tuple[str, ...]]:
    """Return the initial layers of a network, and each layer's activation.

    sizes, activation, init, seed, dtype: as for `nnx.Network`

    Raises:
        InputError: an argument is invalid, or does not fit the sizes
        OutOfMemoryError: more weights than the machine has memory for
    """
    sizes = plain(sizes)
    _check_sizes(sizes)
    hidden = _one_each("activation", activation, len(sizes) - 2)
    names = _one_each("init", init, len(sizes) - 1)
    seed, dtype = read_value("seed", seed), read_value("dtype", dtype)
    _check_room(sizes, names, np.dtype(dtype).itemsize)
    # The last layer has no activation: its "auto" is that of the layer before.
    before_last = (hidden or read_value("activation", activation))[-1]
    layers = [
        _initial(name, activation, shape, seed, i, dtype)
        for i, (shape, name, activation) in enumerate(
            zip(pairwise(sizes), names, (*hidden, before_last), strict=True)
        )
    ]
    return layers, (*hidden, "identity")


def _check_sizes(sizes: Any) -> None:
    """Refuse anything but a sequence of features, hidden widths and classes."""
    if (
        not isinstance(sizes, list | tuple)
        or len(sizes) < 2
        or not all(type(size) is int and 0 < size <= LARGEST for size in sizes)
    ):
        raise InputError(
            "sizes must be features, widths of hidden layers and classes, as in "
            f"[784, 128, 10], not {in_few_words(sizes)}"
        )
    read_value("hidden", sizes[1:-1])


def _check_room(sizes: Sequence[int], names: Sequence[str], itemsize: int) -> None:
    """Refuse, before allocating, a network that needs more memory than there is."""
    weights = [rows * columns for rows, columns in pairwise(sizes)]
    drawing = max(
        weight * (itemsize if name == "zeros" else DRAWING_BYTES)
        for weight, name in zip(weights, names, strict=True)
    )
    needed, room = itemsize * sum(weights) + drawing, memory.available()
    if needed > room:
        raise OutOfMemoryError(
            f"a network of sizes {in_few_words(list(sizes))} takes "
            f"{needed / 2**30:,.1f} GiB to make, and there is at most "
            f"{room / 2**30:.1f} GiB of memory; choose smaller sizes"
        )


def _one_each(setting: str, value: Any, layers: int) -> tuple[str, ...]:
    """Return a name for each layer; a single name is used for all."""
    names: tuple[str, ...] = read_value(setting, value)
    if len(names) not in (1, layers):
        raise InputError(
            f"{setting} names {len(names)} layers, {in_few_words(','.join(names))}; "
            f"there are {layers}"
        )
    return names if len(names) == layers else names * layers


def _initial(
    init: str, activation: str, shape: tuple[int, int], seed: int, i: int, dtype: str
) -> Layer:
    """Return the initial layer i; init "auto" depends on the activation."""
    if init == "auto":
        init = ACTIVATIONS[activation].init
    weight = initializers.weight(init, shape, seed=seed, layer=i, xp=np)
    return Layer(weight.astype(dtype), np.zeros(shape[1], dtype))
