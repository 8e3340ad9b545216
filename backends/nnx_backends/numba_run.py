"""Many training steps by the compiled kernels."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from nnx.maths.activations import ACTIVATIONS
from nnx.maths.blocks import BLOCK
from nnx.maths.kernels import Array
from nnx.maths.steps import Epoch, Images, Recipe, State
from nnx_backends import numba_layout as layout
from nnx_backends.numba_kernels import steps as compiled
from nnx_backends.numba_threads import read_only, together


def is_compiled() -> bool:
    """Return whether an earlier run left the compiled steps in Numba's cache."""
    folder = compiled.train.stats.cache_path
    return is_kept() and any(Path(folder).glob("steps.train-*.nbc"))


def is_kept() -> bool:
    """Return whether there is a folder in which Numba can keep what it compiles."""
    return compiled.train.stats.cache_path is not None


def covers(state: State, recipe: Recipe) -> bool:
    """Return whether the compiled steps do all that this recipe asks for."""
    plain = Recipe(recipe.activations, recipe.scale, recipe.batch_size, l2=recipe.l2)
    return (
        recipe._replace(seed=0, beta2=0.0) == plain
        and recipe.batch_size <= BLOCK
        and not state.moments
        and not state.averages
        and not any(ACTIVATIONS[name].from_z for name in recipe.activations)
    )


def run_steps(
    state: State,
    images: Images,
    epoch: Epoch,
    first: int,
    last: int,
    recipe: Recipe,
    threads: int,
) -> State:
    """Return the state after the steps; like `nnx.maths.steps.run_steps`."""
    real = state.layers[0].weight.dtype.type
    team = max(1, min(threads, recipe.batch_size // 4))
    places = layout.places(state.layers, recipe.activations, recipe.batch_size, team)
    outputs = places[-1].output_at + places[-1].rows * places[-1].stride
    batches = team, places[-1].rows, layout.stride(places[0].inputs)
    params = layout.packed(state.layers, places)
    losses = np.zeros((team, last - first), real)
    hits = np.zeros((team, layout.LINE), np.int64)
    together(
        team,
        compiled.train,
        np.zeros(1, np.int64),
        read_only(_compilable(images.pixels, real)),
        read_only(np.ascontiguousarray(images.labels, np.int64)),
        read_only(np.ascontiguousarray(epoch.order, np.int64)),
        first,
        last,
        recipe.batch_size,
        real(recipe.scale),
        real(epoch.rates[0].learning_rate if epoch.rates else 0),
        real(1 - (epoch.rates[0].learning_rate if epoch.rates else 0) * recipe.l2),
        np.array(places, np.int64),
        params,
        layout.zeros(math.prod(batches), real).reshape(batches),
        layout.zeros(outputs, real),
        layout.zeros(outputs, real),
        losses,
        hits,
    )
    # One after another, so that the sum does not depend on how a run is cut.
    summed = np.concatenate([np.reshape(state.loss_sum, 1), losses.sum(axis=0)])
    layers = layout.unpacked(params, places)
    return State(layers, np.cumsum(summed)[-1], state.hits + hits[:, 0].sum())


def _compilable(pixels: Array, real: Any) -> Array:
    """Return the pixels, contiguous and of a type that the kernels take.

    real: what they are computed with, and converted to where they must be
    """
    known = pixels.dtype in (np.uint8, np.float32, np.float64)
    return np.ascontiguousarray(pixels, pixels.dtype if known else real)
