"""Many training steps by the compiled kernels."""

from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from nnx.maths import steps as plain
from nnx.maths.activations import ACTIVATIONS
from nnx.maths.arrays import Array
from nnx.maths.blocks import BLOCK, block_count
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.ops import Ops
from nnx.maths.schedules import at_steps
from nnx.maths.state import Images, State
from nnx_backends.numba_cpu import dropout, layout, narrow, optimizers, steps
from nnx_backends.numba_cpu.layout import HYPER, PLACE, Place
from nnx_backends.numba_cpu.steps import Options, Work
from nnx_backends.numba_cpu.team import read_only, run_team

COMPILES = "compiling the kernels, once for this installation: about ten seconds"
COMPILES_ANEW = (
    "compiling the kernels, in every run, as Numba can write to no cache folder: about "
    "ten seconds; set NUMBA_CACHE_DIR to a folder that it can write to"
)


def note() -> str:
    """Return what is compiled in the first run, or "" if an earlier one has done so."""
    folder = steps.train.stats.cache_path
    if folder is None:
        return COMPILES_ANEW
    return "" if any(Path(folder).glob("steps.train-*.nbc")) else COMPILES


def covers(hyper: Hyperparameters) -> bool:
    """Return whether the compiled steps do all that these ask for."""
    return (
        hyper.batch_size <= BLOCK
        and hyper.clip_norm == 0.0
        and not hyper.batch_norm
        and not any(ACTIVATIONS[name].from_z for name in hyper.activations)
    )


@np.errstate(over="ignore", invalid="ignore")  # the loop tells of what diverges
def run_steps(
    state: State,
    images: Images,
    order: Array,
    count: int,
    hyper: Hyperparameters,
    *,
    ops: Ops,
    threads: int,
) -> State:
    """Return the state after so many more steps; like `nnx.maths.steps.run_steps`.

    ops: what the plain steps are taken with, where the compiled ones do not cover all
    """
    if not covers(hyper):
        return plain.run_steps(state, images, order, count, hyper, ops)
    real: Any = state.layers[0].weight.dtype.type
    per_epoch = max(1, block_count(len(order), hyper.batch_size))
    first = state.step % per_epoch * hyper.batch_size
    index = order[first : first + count * hyper.batch_size]
    if hyper.augment is not None:
        images = _distorted(state, images, index, state.step // per_epoch, hyper, ops)
        index = np.arange(len(index))
    size = max(1, min(threads, hyper.batch_size // 4))
    places = layout.places(state.layers, hyper.activations, hyper.batch_size, size)
    flat, work = _flat(state, places, real), _work(places, size, count, real)
    run_team(
        size,
        steps.train,
        _compilable(images, real),
        read_only(np.ascontiguousarray(index, np.int64)),
        read_only(_at_steps(hyper, state.step, count, per_epoch)),
        _options(hyper, state.step, places[-1].outputs, real),
        read_only(np.array(places, PLACE)),
        flat,
        work,
    )
    # One after another, so that the sum does not depend on how a run is cut.
    sums = np.concatenate([np.reshape(state.loss_sum, 1), work.losses.sum(axis=0)])
    return state._replace(
        step=state.step + count,
        layers=layout.unpack(flat.parameters, places),
        loss_sum=np.cumsum(sums)[-1],
        correct=state.correct + work.correct[:, 0].sum(),
        optimizer_state=tuple(layout.unpack(a, places) for a in flat.optimizer_state),
        ema=layout.unpack(flat.ema, places) if state.ema else (),
    )


def _distorted(
    state: State,
    images: Images,
    index: Array,
    epoch: int,
    hyper: Hyperparameters,
    ops: Ops,
) -> Images:
    """Return the images of an index in its order, distorted for an epoch."""
    pixels = ops.distort(
        np.take(images.pixels, index, axis=0),
        index,
        hyper.image_shape,
        hyper.augment,
        seed=hyper.seed,
        epoch=epoch,
        like=state.layers[0].weight,
        xp=np,
    )
    return Images(pixels, np.take(images.labels, index))


def _compilable(images: Images, real: Any) -> Images:
    """Return the images, contiguous and of types that the kernels take.

    real: what pixels are computed with, and converted to where they must be
    """
    pixels, labels = images
    known = pixels.dtype in (np.uint8, np.float32, np.float64)
    return Images(
        read_only(np.ascontiguousarray(pixels, pixels.dtype if known else real)),
        read_only(np.ascontiguousarray(labels, np.int64)),
    )


def _at_steps(hyper: Hyperparameters, first: int, count: int, per_epoch: int) -> Array:
    """Return a record of each step's numbers, or one that all steps have in common."""
    numbers = attrgetter(*HYPER.names or ())
    each = list(at_steps(hyper, first, count, per_epoch))
    if count and each[0] is each[-1]:
        each = each[:1]
    return np.fromiter(map(numbers, each), HYPER, len(each))


def _options(hyper: Hyperparameters, step: int, classes: int, real: Any) -> Options:
    """Return what the compiled steps want to know beside numbers."""
    weights = hyper.class_weights or (1.0,) * classes
    return Options(
        first_step=step,
        batch_size=hyper.batch_size,
        optimizer=optimizers.NAMES.index(hyper.optimizer),
        seed=np.uint64(hyper.seed),
        plain_loss=hyper.label_smoothing == 0.0 and not hyper.class_weights,
        class_weights=read_only(np.array(weights, real)),
    )


def _flat(state: Any, places: list[Place], real: Any) -> optimizers.State:
    """Return a `State`'s parameters, and what lies as they do, in flat arrays."""
    parameters = layout.pack(state.layers, places)
    shape = len(state.optimizer_state), len(parameters)
    optimizer_state = layout.zeros(shape, real)
    for row, layers in zip(optimizer_state, state.optimizer_state, strict=True):
        row[:] = layout.pack(layers, places)
    ema = layout.pack(state.ema, places) if state.ema else layout.zeros((0,), real)
    return optimizers.State(parameters, optimizer_state, ema)


def _work(places: list[Place], size: int, count: int, real: Any) -> Work:
    """Return a team's memory for so many steps."""
    first, last = places[0], places[-1]
    images = size, last.batch, layout.stride(first.inputs)
    outputs = (last.output_at + last.batch * last.stride,)
    units = layout.whole(max(place.inputs for place in places), dropout.BLOCK)
    return Work(
        x=layout.zeros(images, real),
        outputs=layout.zeros(outputs, real),
        gradients=layout.zeros(outputs, real),
        sums=layout.zeros((size, narrow.UNITS, narrow.STRIP), real),
        mask=np.empty((size, units), np.uint8),
        losses=np.zeros((size, count), real),
        correct=np.zeros((size, layout.LINE), np.int64),
    )
