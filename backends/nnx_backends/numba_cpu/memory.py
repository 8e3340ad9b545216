"""The arrays of the compiled steps, and their conversion from and to a state."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from nnx.maths.arrays import Array
from nnx.maths.hyperparameters import Distortion, Hyperparameters
from nnx.maths.state import Parameters, RunningStats, State
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
    """A team's memory of a state; arrays are named as in `records.run_dtype`.

    Other names:

    places: where each layer is in the flat arrays
    optimizer_state: (2, size), first and second; statistics: (2, units), means and
        variances; x: (team, batch, stride), a block of images for each thread, or
        (2, batch, stride), one block for all threads and the next block
    x_rounded: (as many, batch, stride / 2), the same in words; empty without rounding
    outputs: (4, all layers'), z, normalized, y and dz; if factors are rounded, also dz
        in words of one number twice, and words of y and of dz together in one row
    """

    places: list[Place]
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
    tall: Array
    broad: Array

    @property
    def team(self) -> int:
        """The number of threads that it has room for."""
        return len(self.scratch)


def state_memory(
    state: State,
    places: list[Place],
    hyper: Hyperparameters,
    team: int,
    *,
    rounds: bool = False,
) -> Memory:
    """Return a team's memory of a state; rounds: whether factors are rounded."""
    real: Any = state.layers[0].weight.dtype.type
    first, last, size = places[0], places[-1], layout.length(places)
    units = last.unit_at + layout.whole(last.outputs, layout.LINE)
    masks = layout.whole(max(place.inputs for place in places), dropout.BLOCK)
    masks = max(masks, gather.NOISE_BYTES)
    copies = 2 if _is_shared(hyper, first) else team
    tall, broad = elastic.smoothing(hyper, np.dtype(real))
    stride = layout.stride(first.inputs)
    size_of_all = last.output_at + last.batch * last.stride
    room = max(SCRATCH, rounded.scratch_size(places)) if rounds else SCRATCH
    return Memory(
        places=places,
        class_weights=np.array(hyper.class_weights or (1.0,) * last.outputs, real),
        parameters=_packed([state.layers], places, 1, real)[0],
        rounded=layout.zeros((size if rounds else 0,), real),
        optimizer_state=_packed(state.optimizer_state, places, 2, real),
        ema=_packed([state.ema], places, 1, real)[0] if state.ema else np.zeros(0),
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
        tall=tall,
        broad=broad,
    )


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


def run_record(memory: Memory, hyper: Hyperparameters) -> Array:
    """Return the record that all steps and threads share, (1,), zero where it varies.

    What varies from call to call are the images, and the steps to take.
    """
    run = np.zeros(1, run_dtype(memory.parameters.dtype))
    arrays = memory._asdict()
    arrays["first"], arrays["second"] = memory.optimizer_state
    arrays["means"], arrays["variances"] = memory.statistics
    numbers: dict[str, float] = {
        "batch_size": hyper.batch_size,
        "itemsize": memory.parameters.itemsize,
        "size": len(memory.parameters),
        "units": len(memory.scales),
        "apart": memory.scratch.shape[1],
        "masks_apart": memory.masks.shape[1],
        "marks_apart": memory.marks[0].size,
        "lists_apart": memory.lists.shape[1],
        "seed": hyper.seed,
        "one": 1,
        "height": hyper.image_shape[0],
        "width": hyper.image_shape[1],
        "columns": memory.broad.shape[1],
    }
    numbers |= (hyper.augment or Distortion())._asdict()
    for name in run.dtype.names or ():
        if name in numbers:
            run[name] = numbers[name]
        elif name in arrays:
            run[name] = arrays[name].ctypes.data
    return run


def layer_records(memory: Memory, hyper: Hyperparameters) -> Array:
    """Return a record for each layer, (layers,)."""
    places, rounds = memory.places, memory.x_rounded.size > 0
    layers = np.zeros(len(places), LAYER)
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
            before["x_rounded"] = here["y_rounded"]
    return layers


def state_after(
    state: State, memory: Memory, count: int, sums: tuple[Array, Array]
) -> State:
    """Return the state after `count` steps; sums: of the epoch's losses and scores."""
    places = memory.places
    stats = zip(state.running_stats, places, strict=False)
    trees = zip(memory.optimizer_state, state.optimizer_state, strict=False)
    return State(
        state.step + count,
        layout.unpack(memory.parameters, places),
        *sums,
        tuple(layout.unpack(parameters, places) for parameters, _ in trees),
        tuple(old and _unpack_statistics(memory, place) for old, place in stats),
        layout.unpack(memory.ema, places) if state.ema else (),
    )


def _unpack_statistics(memory: Memory, place: Place) -> RunningStats:
    units = memory.statistics[:, place.unit_at :][:, : place.outputs]
    return RunningStats(*units.copy())
