"""The plain maths in float64 on NumPy, and how far others are from it.

A kink is where rounding may change a result at once: a unit near 0, where relu bends,
or a tie of the two largest logits. No backend is compared there.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from nnx.backend import Backend
from nnx.data.dataset import Array
from nnx.maths import steps
from nnx.maths.activations import ACTIVATIONS
from nnx.maths.blocks import block
from nnx.maths.network import Layer, Layers
from nnx.maths.optimizers import Rates
from nnx.maths.steps import Images, Recipe, State, Sums
from nnx.network import to_host
from nnx.training.loop import start

PLAIN = Backend("plain", "cpu", np, np.asarray, np.asarray)
# Relative to a layer's largest; rounding in float32 reaches a tenth of it.
CLEARANCE = 1e-5
# What a step may round off the largest parameter: a backend may take a gradient off
# part by part, and round with each.
LAST_DIGITS = 4

Part = TypeVar("Part", State, Sums)


def widened(layers: Layers) -> Layers:
    """Return the layers in float64."""
    return [Layer(*(array.astype(np.float64) for array in layer)) for layer in layers]


def cleared(
    layers: Layers,
    images: Images,
    order: Array,
    first: int,
    last: int,
    recipe: Recipe,
    rates: Rates,
) -> tuple[Array, State]:
    """Return an order with no image at a kink, and the reference's state after it.

    In each batch, a clear image takes the place of those that are not.

    Refused: a batch without any clear image, with ValueError.
    """
    order, state = order.copy(), start(widened(layers), PLAIN).state
    for i in range(first, last):
        rows = block(i, len(order), recipe.batch_size)
        like = state.layers[0].weight
        x, _ = steps.gather(images, order[rows], recipe.scale, like, PLAIN)
        good = clear(state.layers, x, recipe.activations)
        if not good.any():
            raise ValueError(f"no image of batch {i} is clear of kinks")
        order[rows] = np.where(good, order[rows], order[rows][np.argmax(good)])
        state = steps.step(state, images, order[rows], rates, i, recipe, PLAIN)
    return order, state


def clear(layers: Layers, x: Array, activations: Sequence[str]) -> Array:
    """Return for which images no unit comes near 0, nor the top two logits a tie.

    x: (batch, in_features), float64
    returns: (batch,), bool
    """
    good = np.ones(len(x), bool)
    for i, ((weight, bias), activation) in enumerate(
        zip(layers, activations, strict=True)
    ):
        z = x @ weight + bias
        top = np.partition(z, -2, axis=1) if i == len(layers) - 1 else None
        gaps = np.abs(z) if top is None else top[:, -1:] - top[:, -2:-1]
        good &= np.min(gaps, axis=1) > CLEARANCE * np.max(np.abs(z))
        x = ACTIVATIONS[activation].forward(z, xp=np)
    return good


def on_host(part: Part, backend: Backend) -> Part:
    """Return a state, or sums, as NumPy arrays."""
    scalars = map(backend.to_numpy, part[1:3])
    return type(part)(to_host(part[0], backend), *scalars)


def errors(got: State | Sums, expected: State | Sums, dtype: str) -> dict[str, float]:
    """Return the relative error of every array, by its name."""
    pairs = _paired(got[0], expected[0]) | {"loss": (got[1], expected[1])}
    kind = np.dtype(dtype).type
    found = {name: relative_error(*pair, kind) for name, pair in pairs.items()}
    return found | {"hits": relative_error(got[2], expected[2], np.integer)}


def change_errors(
    before: Layers, got: Layers, expected: Layers, count: int
) -> dict[str, float]:
    """Return the relative error of every parameter's change in so many steps.

    What rounding the parameters takes is no error of the change, and is taken off.
    """
    changes = _paired(before, expected)
    return {
        f"change of {name}": _change_error(changes[name][0], mine, other, count)
        for name, (mine, other) in _paired(got, expected).items()
    }


def _change_error(before: Array, got: Array, expected: Array, count: int) -> float:
    if got.shape != before.shape:
        return np.inf
    last_digit = np.finfo(before.dtype).eps * np.max(np.abs(before))
    difference = np.max(np.abs(got.astype(np.float64) - expected))
    excess = difference - count * LAST_DIGITS * last_digit
    return _ratio(np.maximum(excess, 0.0), np.max(np.abs(expected - before)))


def _paired(got: Layers, expected: Layers) -> dict[str, tuple[Array, Array]]:
    """Return two arrays for the name of each parameter."""
    return {
        f"{name} {i}": pair
        for i, layers in enumerate(zip(got, expected, strict=True))
        for name, pair in zip(Layer._fields, zip(*layers, strict=True), strict=True)
    }


def relative_error(got: Array, expected: Array, kind: type[Any]) -> float:
    """Return max |got - expected| over the largest entry of expected.

    It is infinite where got is not finite, or is not of this kind or shape.
    """
    if not np.issubdtype(got.dtype, kind) or got.shape != np.shape(expected):
        return np.inf
    difference = np.max(np.abs(got.astype(np.float64) - expected))
    return _ratio(difference, np.max(np.abs(expected)))


def _ratio(difference: float, largest: float) -> float:
    """Return the error; that from 0 has no scale, and is taken as it is."""
    error = float(difference / largest) if largest else float(difference)
    return error if np.isfinite(error) else np.inf
