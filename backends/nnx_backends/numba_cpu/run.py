"""Many training steps by the compiled kernels."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from nnx.maths import blocks, dropout
from nnx.maths.activations import ACTIVATIONS
from nnx.maths.kernels import Array
from nnx.maths.steps import Epoch, Images, Recipe, State
from nnx_backends.numba_cpu import layout, narrow, optimizers
from nnx_backends.numba_cpu import steps as compiled
from nnx_backends.numba_cpu.dropout import BLOCK, Rate
from nnx_backends.numba_cpu.layout import NUMBERS, PLACE, Place
from nnx_backends.numba_cpu.steps import Options, Work
from nnx_backends.numba_cpu.team import read_only, run_team


def is_compiled() -> bool:
    """Return whether an earlier run left the compiled steps in Numba's cache."""
    folder = compiled.train.stats.cache_path
    return is_cached() and any(Path(folder).glob("steps.train-*.nbc"))


def is_cached() -> bool:
    """Return whether there is a folder in which Numba can cache what it compiles."""
    return compiled.train.stats.cache_path is not None


def covers(state: State, recipe: Recipe) -> bool:
    """Return whether the compiled steps do all that this recipe asks for."""
    return (
        recipe.batch_size <= blocks.BLOCK
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
    layers: Any = state.layers  # none with batch normalization; see `covers`
    real = layers[0].weight.dtype.type
    size = max(1, min(threads, recipe.batch_size // 4))
    places = layout.places(layers, recipe.activations, recipe.batch_size, size)
    flat = _packed(state, places, real)
    work = _work(places, size, last - first, real)
    begin = first * recipe.batch_size
    order = epoch.order[begin : last * recipe.batch_size]
    run_team(
        size,
        compiled.train,
        Images(
            read_only(_compilable(images.pixels, real)),
            read_only(np.ascontiguousarray(images.labels, np.int64)),
        ),
        read_only(np.ascontiguousarray(order, np.int64)),
        read_only(np.array(epoch.rates[first:last], NUMBERS)),
        _options(
            recipe, epoch.begin + first, bool(state.averages), places[-1].outputs, real
        ),
        read_only(np.array(places, PLACE)),
        flat,
        work,
    )
    # One after another, so that the sum does not depend on how a run is cut.
    sums = np.concatenate([np.reshape(state.loss_sum, 1), work.losses.sum(axis=0)])
    return State(
        layout.unpack(flat.parameters, places),
        np.cumsum(sums)[-1],
        state.hits + work.correct[:, 0].sum(),
        tuple(layout.unpack(each, places) for each in flat.optimizer_state),
        averages=layout.unpack(flat.ema, places) if state.averages else (),
    )


def _packed(state: Any, places: list[Place], real: Any) -> optimizers.State:
    """Return the state's parameters, and what lies as they do, in flat arrays."""
    parameters = layout.pack(state.layers, places)
    shape = len(state.slots), len(parameters)
    optimizer_state = layout.zeros(math.prod(shape), real).reshape(shape)
    for row, layers in zip(optimizer_state, state.slots, strict=True):
        row[:] = layout.pack(layers, places)
    ema = layout.pack(state.averages or state.layers, places)
    return optimizers.State(parameters, optimizer_state, ema)


def _work(places: list[Place], size: int, steps: int, real: Any) -> Work:
    """Return a team's memory for so many steps."""
    first, last = places[0], places[-1]
    shape = size, last.batch, layout.stride(first.inputs)
    outputs = last.output_at + last.batch * last.stride
    widest = max(place.inputs for place in places)
    return Work(
        layout.zeros(math.prod(shape), real).reshape(shape),
        layout.zeros(outputs, real),
        layout.zeros(outputs, real),
        np.empty((size, narrow.UNITS, narrow.STRIP), real),
        np.empty((size, layout.whole(widest, BLOCK)), np.uint8),
        np.zeros((size, steps), real),
        np.zeros((size, layout.LINE), np.int64),
    )


def _options(
    recipe: Recipe, first_step: int, has_ema: bool, classes: int, real: Any
) -> Options:
    """Return what the compiled steps want to know of a recipe."""
    return Options(
        first_step=first_step,
        batch_size=recipe.batch_size,
        pixel_scale=real(recipe.scale),
        optimizer=optimizers.NAMES.index(recipe.optimizer),
        stores_gradient=recipe.optimizer != "sgd" or recipe.l1 > 0.0,
        beta2=real(recipe.beta2),
        square_rest=real(1.0 - recipe.beta2),
        l1=real(recipe.l1),
        l2=real(recipe.l2),
        weight_decay=real(recipe.weight_decay),
        max_norm=real(recipe.max_norm),
        input_dropout=_rate(recipe.input_dropout, real),
        dropout=_rate(recipe.dropout, real),
        seed=np.uint64(recipe.seed),
        plain_loss=recipe.smoothing == 0.0 and not recipe.class_weights,
        label_smoothing=real(recipe.smoothing),
        class_weights=read_only(
            np.array(recipe.class_weights or (1.0,) * classes, real)
        ),
        has_ema=has_ema,
    )


def _rate(rate: float, real: Any) -> Rate:
    """Return a dropout rate as the compiled steps want it."""
    threshold = dropout.threshold(rate)
    return Rate(threshold, real(dropout.PARTS / (dropout.PARTS - threshold)))


def _compilable(pixels: Array, real: Any) -> Array:
    """Return the pixels, contiguous and of a type that the kernels take.

    real: what they are computed with, and converted to where they must be
    """
    known = pixels.dtype in (np.uint8, np.float32, np.float64)
    return np.ascontiguousarray(pixels, pixels.dtype if known else real)
