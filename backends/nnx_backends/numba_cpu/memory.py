"""The arrays that kernels read and write; conversion from and to a state."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from nnx.maths.arrays import Array
from nnx.maths.hyperparameters import Distortion, Hyperparameters
from nnx.maths.losses import LOSSES
from nnx.maths.state import Images, Parameters, RunningStats, State
from nnx_backends.numba_cpu import (
    batch_norm,
    dropout,
    elastic,
    gather,
    layout,
    narrow,
    nonzero,
    rounded,
    wide,
)
from nnx_backends.numba_cpu.layout import Place
from nnx_backends.numba_cpu.program import LARGE
from nnx_backends.numba_cpu.records import LAYER, run_dtype

SCRATCH = max(narrow.UNITS * narrow.STRIP, wide.SCRATCH, 2 * batch_norm.STRIP)


class Memory(NamedTuple):
    """Arrays named as in `records.run_dtype`, except for these.

    optimizer_state: (2, size), first and second; statistics: (2, units), means and
        variances; x: (team, batch, stride), a block of images for each thread, or
        (2, batch, stride), one block for all threads and the next block
    x_rounded: (as many, batch, stride / 2), the same in words; empty without rounding
    outputs: (4, all layers'), z, normalized, y and dz; if factors are rounded, also dz
        in words of one number twice, and words of y and of dz together in one row
    """

    pixels: Array
    labels: Array
    weights: Array
    order: Array
    class_weights: Array
    parameters: Array
    rounded: Array
    optimizer_state: Array
    ema: Array
    gradients: Array
    statistics: Array
    scales: Array
    squares: Array
    x: Array
    x_rounded: Array
    outputs: Array
    scratch: Array
    masks: Array
    marks: Array
    lists: Array
    losses: Array
    scores: Array
    logits: Array
    tall: Array
    broad: Array


def memory(
    state: State,
    images: Images,
    order: Array,
    places: list[Place],
    hyper: Hyperparameters,
    team: int,
    latest: Memory | None = None,
    *,
    rounds: bool = False,
) -> Memory:
    """Return a team's memory for steps with the images of an order.

    rounds: whether factors are rounded to bfloat16
    latest: memory that already holds this state, for the same team size and steps
    """
    real: Any = state.layers[0].weight.dtype.type
    own = latest or _of_state(state, places, hyper, team, rounds)
    return own._replace(
        pixels=np.ascontiguousarray(images.pixels, pixel_dtype(images, real)),
        labels=_labels(images, order, hyper, real),
        weights=_weights(images, order, real),
        order=order,
        losses=np.zeros(len(order), real),
        scores=_scores(len(order), places[-1].outputs, hyper, real),
        logits=np.empty((len(order), places[-1].outputs), real),
    )


def _of_state(
    state: State, places: list[Place], hyper: Hyperparameters, team: int, rounds: bool
) -> Memory:
    """Return the memory of a state and of intermediate results, without images."""
    real: Any = state.layers[0].weight.dtype.type
    first, last, size = places[0], places[-1], layout.length(places)
    units = last.unit_at + layout.whole(last.outputs, layout.LINE)
    masks = layout.whole(max(place.inputs for place in places), dropout.BLOCK)
    masks = max(masks, gather.NOISE_BYTES)
    copies = 2 if _is_shared(hyper, first) else team
    tall, broad = elastic.smoothing(hyper, np.dtype(real))
    none, stride = np.zeros(0, real), layout.stride(first.inputs)
    size_of_all = last.output_at + last.batch * last.stride
    room = max(SCRATCH, rounded.scratch_size(places)) if rounds else SCRATCH
    return Memory(
        *(none, none, none, none),
        class_weights=np.array(hyper.class_weights or (1.0,) * last.outputs, real),
        parameters=_packed([state.layers], places, 1, real)[0],
        rounded=layout.zeros((size if rounds else 0,), real),
        optimizer_state=_packed(state.optimizer_state, places, 2, real),
        ema=_packed([state.ema], places, 1, real)[0] if state.ema else none,
        gradients=layout.zeros((size,), real),
        statistics=_pack_statistics(state.running_stats, places, units, real),
        scales=layout.zeros((units,), real),
        squares=layout.zeros((units,), real),
        x=layout.zeros((copies, last.batch, stride), real),
        x_rounded=layout.zeros((rounds * copies, last.batch, stride // 2), real),
        outputs=layout.zeros((6 if rounds else 4, size_of_all), real),
        scratch=layout.zeros((team, layout.whole(room, layout.LINE)), real),
        masks=np.zeros((team, masks), np.uint8),
        marks=np.zeros((2, last.batch, nonzero.groups(stride)), np.uint8),
        lists=np.zeros(
            (team, max(wide.LISTED, first.inputs + nonzero.BESIDES)), np.int32
        ),
        losses=none,
        scores=none,
        logits=none,
        tall=tall,
        broad=broad,
    )


def _labels(images: Images, order: Array, hyper: Hyperparameters, real: Any) -> Array:
    """Return the labels of images, or their targets, (images, outputs)."""
    kind = np.int64 if hyper.loss == "cross_entropy" else real
    taken = np.take(images.labels, order, axis=0)
    return np.ascontiguousarray(taken, kind)


def _weights(images: Images, order: Array, real: Any) -> Array:
    if images.weights is None:
        return np.ones(len(order), real)
    return np.take(images.weights, order).astype(real, copy=False)


def _scores(images: int, outputs: int, hyper: Hyperparameters, real: Any) -> Array:
    """Return an array for whether each image is right, or for its squared errors."""
    if LOSSES[hyper.loss].counts:
        return np.zeros(images, np.uint8)
    return np.zeros((images, outputs), real)


def pixel_dtype(images: Images, real: Any) -> np.dtype[Any]:
    """Return the type that kernels read pixels in; other types are converted first."""
    kind: np.dtype[Any] = images.pixels.dtype
    return kind if kind in (np.uint8, np.float32, np.float64) else np.dtype(real)


def _is_shared(hyper: Hyperparameters, first: Place) -> bool:
    """Return whether all threads read one copy of the images, each setting a part.

    If that is little work, each thread sets all that it reads, and so never waits for
    another core's cache.
    """
    drawn = hyper.input_noise > 0.0 or hyper.input_dropout > 0.0
    much = drawn or hyper.augment is not None or hyper.batch_size > LARGE
    return much or first.columns > 1


def _packed(
    trees: Sequence[Parameters], places: list[Place], count: int, real: Any
) -> Array:
    """Return packed parameters, (count, size); rows without a tree are zeros."""
    packed = layout.zeros((count, layout.length(places)), real)
    for row, layers in zip(packed, trees, strict=False):
        layout.pack(layers, places, row)
    return packed


def _pack_statistics(
    stats: Sequence[RunningStats | None], places: list[Place], units: int, real: Any
) -> Array:
    packed = np.zeros((2, units), real)
    for running, place in zip(stats, places, strict=False):
        if running is not None:
            packed[:, place.unit_at : place.unit_at + place.outputs] = running
    return packed


def run_record(
    memory: Memory, first_step: int, count: int, epoch: int, hyper: Hyperparameters
) -> Array:
    """Return the record that all steps and threads share, (1,)."""
    run = np.zeros(1, run_dtype(memory.parameters.dtype))
    arrays = memory._asdict()
    arrays["first"], arrays["second"] = memory.optimizer_state
    arrays["means"], arrays["variances"] = memory.statistics
    numbers: dict[str, float] = {
        "first_step": first_step,
        "steps": count,
        "begin": 0,
        "batch_size": hyper.batch_size,
        "top": 0,
        "bottom": hyper.batch_size,
        "itemsize": memory.parameters.itemsize,
        "size": len(memory.parameters),
        "units": len(memory.scales),
        "images": len(memory.order),
        "apart": memory.scratch.shape[1],
        "masks_apart": memory.masks.shape[1],
        "marks_apart": memory.marks[0].size,
        "lists_apart": memory.lists.shape[1],
        "seed": hyper.seed,
        "one": 1,
        "epoch": epoch,
        "height": hyper.image_shape[0],
        "width": hyper.image_shape[1],
        "columns": memory.broad.shape[1],
    }
    numbers |= (hyper.augment or Distortion())._asdict()
    for name in run.dtype.names or ():
        run[name] = numbers[name] if name in numbers else arrays[name].ctypes.data
    return run


def layer_records(memory: Memory, places: list[Place], hyper: Hyperparameters) -> Array:
    """Return a record for each layer, (layers,)."""
    layers, rounds = np.zeros(len(places), LAYER), memory.x_rounded.size > 0
    matrices = {"z": 0, "normalized": 1, "y": 2, "dz": 3}
    if rounds:
        matrices |= {"dz_twice": 4, "y_rounded": 5}
    images = memory.x[0]
    before = {
        "x": images.ctypes.data,
        "x_rounded": memory.x_rounded.ctypes.data,
        "x_turn" if _is_shared(hyper, places[0]) else "x_apart": images.nbytes,
        "x_stride": images.shape[1],
    }
    for number, (layer, place) in enumerate(zip(layers, places, strict=True)):
        here = {
            name: memory.outputs[row, place.output_at :].ctypes.data
            for name, row in matrices.items()
        }
        if rounds:
            words = place.batch * place.stride // 2
            here["dz_rounded"] = here["y_rounded"] + words * memory.outputs.itemsize
        of_place = {k: v for k, v in place._asdict().items() if k in layer.dtype.names}
        for name, value in (of_place | here | before | {"number": number}).items():
            layer[name] = value
        before = {
            "x": here["y"],
            "x_z": here["z"],
            "dx": here["dz"],
            "x_stride": place.stride,
        }
        if rounds:
            before |= {
                "x_rounded": here["y_rounded"],
                "dx_rounded": here["dz_rounded"],
                "dx_twice": here["dz_twice"],
            }
    return layers


def state_after(
    state: State, memory: Memory, places: list[Place], count: int, batch_size: int
) -> State:
    """Return the state after `count` steps."""
    stats = zip(state.running_stats, places, strict=False)
    trees = zip(memory.optimizer_state, state.optimizer_state, strict=False)
    return State(
        state.step + count,
        layout.unpack(memory.parameters, places),
        _added(state.loss_sum, memory.losses, batch_size),
        _added(state.score_sum, memory.scores, batch_size),
        tuple(layout.unpack(parameters, places) for parameters, _ in trees),
        tuple(old and _unpack_statistics(memory, place) for old, place in stats),
        layout.unpack(memory.ema, places) if state.ema else (),
    )


def _added(total: Array, of_images: Array, batch_size: int) -> Array:
    """Return a total plus the numbers of the images of further steps, (images, …)."""
    if of_images.dtype == np.uint8:
        return total + of_images.sum(dtype=np.int64)
    starts = np.arange(0, len(of_images), batch_size)
    sums = np.add.reduceat(of_images, starts) if len(starts) else of_images
    # Step by step, so that the sum does not depend on where a run was interrupted.
    return np.cumsum(np.concatenate([total[None], sums]), axis=0)[-1]


def _unpack_statistics(memory: Memory, place: Place) -> RunningStats:
    units = memory.statistics[:, place.unit_at :][:, : place.outputs]
    return RunningStats(*units.copy())
