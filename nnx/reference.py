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
from nnx.maths.batch_norm import Moments
from nnx.maths.blocks import block
from nnx.maths.network import Layer, Layers, NormedLayer, Trace, Trained, forward
from nnx.maths.optimizers import Rates
from nnx.maths.steps import Images, Recipe, State, Sums
from nnx.training.loop import start

PLAIN = Backend("plain", "cpu", np, np.asarray, np.asarray)
# Relative to a layer's largest; rounding in float32 reaches a tenth of it.
CLEARANCE = 1e-5
# What a step may round off the largest parameter: a backend may take a gradient off
# part by part, and round with each.
LAST_DIGITS = 4
# Images that are tried for a place in a batch.
ATTEMPTS = 30

Part = TypeVar("Part", State, Sums)


def widened(layers: Layers) -> list[Layer]:
    """Return the layers in float64."""
    return [
        type(layer)(*(array.astype(np.float64) for array in layer)) for layer in layers
    ]


def cleared(
    begun: Layers | State,
    images: Images,
    order: Array,
    first: int,
    last: int,
    recipe: Recipe,
    rates: Sequence[Rates],
    begin: int = 0,
) -> tuple[Array, State]:
    """Return an order with no image at a kink, and the reference's state after it.

    In each batch, a clear image takes the place of those that are not.

    begun: layers, or a state in float64
    rates, begin: see `nnx.maths.steps.Epoch`
    Refused: a batch without any clear image, with ValueError.
    """
    order = order.copy()
    state = begun if isinstance(begun, State) else start(widened(begun), PLAIN).state
    for i in range(first, last):
        rows = block(i, len(order), recipe.batch_size)
        order[rows] = _cleared_batch(state, images, order[rows], recipe, begin + i, i)
        state = steps.step(
            state, images, order[rows], rates[i], begin + i, recipe, PLAIN
        )
    return order, state


def _cleared_batch(
    state: State, images: Images, index: Array, recipe: Recipe, number: int, i: int
) -> Array:
    """Return a batch's images, those at a kink replaced.

    Dropout leaves out other units of an image in another place, and a normalized batch
    changes with each of its images: so what is put in place is looked at again.
    """
    for attempt in range(ATTEMPTS):
        like = state.layers[0].weight
        x, _ = steps.gather(images, index, recipe.scale, like, PLAIN)
        factors = steps.left_out(state.layers, x, 0, number, recipe, PLAIN)
        good = clear(state.layers, x, recipe.activations, state.moments, factors)
        if good.all():
            return index
        if not good.any():
            break
        others = index[good]
        index = np.where(good, index, others[attempt % len(others)])
    raise ValueError(f"no image of batch {i} is clear of kinks")


def clear(
    layers: Trained,
    x: Array,
    activations: Sequence[str],
    moments: Sequence[Moments] = (),
    factors: Sequence[Array] = (),
) -> Array:
    """Return for which images no unit comes near 0, nor the top two logits a tie.

    x: (batch, in_features), float64
    moments, factors: as for `network.forward`
    returns: (batch,), bool
    """
    good = np.ones(len(x), bool)
    traces, _, logits = forward(layers, x, activations, PLAIN, moments, factors)
    for layer, trace in zip(layers[:-1], traces[:-1], strict=True):
        z = before_activation(layer, trace)
        good &= np.min(np.abs(z), axis=1) > CLEARANCE * np.max(np.abs(z))
    top = np.partition(logits, -2, axis=1)
    return good & (top[:, -1] - top[:, -2] > CLEARANCE * np.max(np.abs(logits)))


def before_activation(layer: Layer | NormedLayer, trace: Trace) -> Array:
    """Return what a layer's activation was given, (batch, out_features)."""
    if isinstance(layer, NormedLayer) and trace.normalized is not None:
        return layer.gain * trace.normalized.values + layer.bias
    return trace.x @ layer.weight + layer.bias


def on_host(part: Part, backend: Backend) -> Part:
    """Return a state, or sums, as NumPy arrays."""

    def moved(value: Any) -> Any:
        if isinstance(value, list):
            return [moved(each) for each in value]
        if isinstance(value, tuple):
            each = map(moved, value)
            return type(value)(*each) if hasattr(value, "_fields") else tuple(each)
        return backend.to_numpy(value)

    return type(part)(*map(moved, part))


def errors(got: State | Sums, expected: State | Sums, dtype: str) -> dict[str, float]:
    """Return the relative error of every array, by its name."""
    pairs = _paired(got[0], expected[0]) | {"loss": (got[1], expected[1])}
    pairs |= _paired(got.moments, expected.moments)
    if isinstance(got, State) and isinstance(expected, State):
        slots = zip(got.slots, expected.slots, strict=True)
        for i, (mine, other) in enumerate(slots):
            pairs |= _paired(mine, other, f"slot {i} of ")
        pairs |= _paired(got.averages, expected.averages, "average of ")
    kind = np.dtype(dtype).type
    found = {name: relative_error(*pair, kind) for name, pair in pairs.items()}
    return found | {"hits": relative_error(got[2], expected[2], np.integer)}


def change_errors(
    before: Trained, got: Trained, expected: Trained, count: int
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


def _paired(
    got: Sequence[Any], expected: Sequence[Any], what: str = ""
) -> dict[str, tuple[Array, Array]]:
    """Return two arrays for the name of each parameter, or of each moment."""
    return {
        f"{what}{name} {i}": pair
        for i, (mine, other) in enumerate(zip(got, expected, strict=True))
        for name, pair in zip(
            type(other)._fields, zip(mine, other, strict=True), strict=True
        )
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
