"""Many training steps by the compiled kernels."""

import math
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from nnx.maths.kernels import Array

from nnx.maths import dropout
from nnx.maths.activations import ACTIVATIONS
from nnx.maths.blocks import BLOCK
from nnx.maths.optimizers import Rates
from nnx.maths.random import Stream
from nnx.maths.steps import Epoch, Images, Recipe, State
from nnx_backends import numba_layout as layout
from nnx_backends.numba_kernels import optimizers
from nnx_backends.numba_kernels import steps as compiled
from nnx_backends.numba_kernels.steps import Options
from nnx_backends.numba_threads import read_only, together

RATES = len(Rates._fields)


def is_compiled() -> bool:
    """Return whether an earlier run left the compiled steps in Numba's cache."""
    folder = compiled.train.stats.cache_path
    return is_kept() and any(Path(folder).glob("steps.train-*.nbc"))


def is_kept() -> bool:
    """Return whether there is a folder in which Numba can keep what it compiles."""
    return compiled.train.stats.cache_path is not None


def covers(state: State, recipe: Recipe) -> bool:
    """Return whether the compiled steps do all that this recipe asks for."""
    return (
        recipe.batch_size <= BLOCK
        and recipe.clip_norm == 0.0
        and not state.moments
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
    plain: Any = state.layers  # none with batch normalization; see `covers`
    real = plain[0].weight.dtype.type
    team = max(1, min(threads, recipe.batch_size // 4))
    places = layout.places(plain, recipe.activations, recipe.batch_size, team)
    outputs = places[-1].output_at + places[-1].rows * places[-1].stride
    batches = team, places[-1].rows, layout.stride(places[0].inputs)
    params = layout.packed(plain, places)
    slots = layout.zeros(len(state.slots) * len(params), real)
    slots = slots.reshape(len(state.slots), len(params))
    remembered: Any = state.slots
    for flat, layers in zip(slots, remembered, strict=True):
        flat[:] = layout.packed(layers, places)
    averaged: Any = state.averages
    averages = layout.packed(averaged or plain, places)
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
        read_only(_rates(epoch.rates[first:last])),
        _options(recipe, epoch.begin, bool(state.averages), real),
        read_only(_class_weights(recipe, places[-1].outputs, real)),
        np.array(places, np.int64),
        params,
        slots,
        averages,
        layout.zeros(math.prod(batches), real).reshape(batches),
        layout.zeros(outputs, real),
        layout.zeros(outputs, real),
        losses,
        hits,
    )
    # One after another, so that the sum does not depend on how a run is cut.
    summed = np.concatenate([np.reshape(state.loss_sum, 1), losses.sum(axis=0)])
    layers = layout.unpacked(params, places)
    return State(
        layers,
        np.cumsum(summed)[-1],
        state.hits + hits[:, 0].sum(),
        tuple(layout.unpacked(flat, places) for flat in slots),
        averages=layout.unpacked(averages, places) if state.averages else (),
    )


def _rates(rates: Sequence[Rates]) -> Array:
    """Return a row of numbers for each step."""
    numbers = np.fromiter(chain.from_iterable(rates), float, len(rates) * RATES)
    return numbers.reshape(len(rates), RATES)


def _options(recipe: Recipe, before: int, averaged: bool, real: Any) -> Options:
    """Return what the compiled steps want to know of a recipe."""
    pixels, units = map(dropout.threshold, (recipe.input_dropout, recipe.dropout))
    return Options(
        code=optimizers.NAMES.index(recipe.optimizer),
        stored=recipe.optimizer != "sgd" or recipe.l1 > 0.0,
        beta2=real(recipe.beta2),
        square_rest=real(1.0 - recipe.beta2),
        l1=real(recipe.l1),
        l2=real(recipe.l2),
        weight_decay=real(recipe.weight_decay),
        max_norm=real(recipe.max_norm),
        pixels_least=pixels,
        units_least=units,
        pixels_scale=real(dropout.PARTS / (dropout.PARTS - pixels)),
        units_scale=real(dropout.PARTS / (dropout.PARTS - units)),
        stream=int(Stream.DROPOUT),
        seed=np.uint64(recipe.seed),
        before=before,
        plain=recipe.smoothing == 0.0 and not recipe.class_weights,
        smoothing=real(recipe.smoothing),
        averaged=averaged,
    )


def _class_weights(recipe: Recipe, classes: int, real: Any) -> Array:
    """Return what each class counts."""
    return np.array(recipe.class_weights or (1,) * classes, real)


def _compilable(pixels: Array, real: Any) -> Array:
    """Return the pixels, contiguous and of a type that the kernels take.

    real: what they are computed with, and converted to where they must be
    """
    known = pixels.dtype in (np.uint8, np.float32, np.float64)
    return np.ascontiguousarray(pixels, pixels.dtype if known else real)
