"""The arrays that the kernel reads and writes; conversion from and to a state."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from nnx.maths.arrays import Array
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.losses import LOSSES
from nnx.maths.state import Images, Parameters, RunningStats, State
from nnx_backends.cupy_gpu import layout
from nnx_backends.cupy_gpu.layout import Place
from nnx_backends.cupy_gpu.plan import KernelKey
from nnx_backends.cupy_gpu.tiles import TILE

# In the order of `Run` in descend.cu, each an address or an integer of 64 bits.
FIELDS = (
    "pixels", "labels", "weights", "class_weights", "order",
    "parameters", "first", "second", "ema", "gradients",
    "images", "inputs", "outputs", "slopes", "normalized",
    "scales", "means", "variances", "squares", "losses", "scores", "loss_sum",
    "score_sum", "counter", "begin", "count", "epoch", "at", "n", "key0", "key1",
)  # fmt: skip
RUN = np.dtype([(name, np.uint64) for name in FIELDS])


class Memory(NamedTuple):
    """Arrays on the device, named as in `Run`, except for these.

    flat: (kinds, size), the parameters, the optimizer's arrays, and the average if any
    statistics: (3, units), scales, means and variances
    batch: (4, all layers'), inputs, outputs, slopes and normalized
    """

    flat: Array
    statistics: Array
    gradients: Array
    images: Array
    batch: Array
    squares: Array
    losses: Array
    scores: Array
    counter: Array


def inputs(images: Images, hyper: Hyperparameters, cupy: Any) -> dict[str, Array]:
    """Return the arrays of a data set as the kernel reads them."""
    pixels, labels, weights = images[:3]
    if pixels.dtype not in (np.uint8, np.float32):
        pixels = pixels.astype(np.float32)
    kind = np.int64 if LOSSES[hyper.loss].of_classes else np.float32
    arrays = {
        "pixels": cupy.ascontiguousarray(pixels),
        "labels": cupy.ascontiguousarray(labels, dtype=kind),
    }
    if weights is not None:
        arrays["weights"] = cupy.ascontiguousarray(weights, dtype=np.float32)
    if hyper.class_weights:
        arrays["class_weights"] = cupy.asarray(hyper.class_weights, dtype=np.float32)
    return arrays


def _trees(state: State) -> list[Parameters]:
    """Return all that has the parameters' layout, in the order of `Memory.flat`."""
    return [state.layers, *state.optimizer_state, *([state.ema] if state.ema else [])]


def memory(state: State, key: KernelKey, cupy: Any) -> Memory:
    """Return the memory of a state, in which intermediate results are 0."""
    places, hyper = key.places, key.hyper
    rows, last = layout.whole(hyper.batch_size, TILE), places[-1]
    trees = _trees(state)
    units = last.unit_at + last.width

    def zeros(*shape: int) -> Array:
        return cupy.zeros(shape, np.float32)

    own = Memory(
        flat=zeros(len(trees), last.end),
        statistics=zeros(3, units),
        gradients=zeros(last.end if hyper.clip_norm else 1),
        images=zeros(2, 0 if key.bytes_as_they_are else rows, places[0].rows),
        batch=zeros(4, last.at + rows * last.width),
        squares=zeros(sum(p.rows * p.width // TILE**2 + p.width for p in places)),
        losses=zeros(rows),
        scores=zeros(rows, last.width),
        counter=cupy.zeros(1, np.uint32),
    )
    for flat, layers in zip(own.flat, trees, strict=True):
        layout.pack(layers, places, flat)
    for place, stats in zip(places, state.running_stats, strict=False):
        if stats is not None:
            part = slice(place.unit_at, place.unit_at + place.outputs)
            own.statistics[1, part], own.statistics[2, part] = stats
    return own


def run_record(
    own: Memory,
    given: dict[str, Array],
    numbers: dict[str, int],
) -> Any:
    """Return the record that all steps share, which the kernel receives by value."""
    arrays = given | own._asdict()
    arrays |= {"parameters": own.flat[0], "ema": own.flat[-1]}
    arrays |= dict(zip(("first", "second"), own.flat[1:], strict=False))
    arrays |= dict(zip(("scales", "means", "variances"), own.statistics, strict=True))
    names = "inputs", "outputs", "slopes", "normalized"
    arrays |= dict(zip(names, own.batch, strict=True))
    values = [
        numbers[name]
        if name in numbers
        else arrays[name].data.ptr
        if name in arrays
        else 0
        for name in FIELDS
    ]
    return np.array([tuple(values)], RUN)[0]


def state_after(
    state: State,
    own: Memory,
    places: Sequence[Place],
    count: int,
) -> State:
    """Return the state after `count` steps, except for its sums."""
    flat = own.flat.copy()
    statistics = own.statistics.copy() if any(state.running_stats) else own.statistics
    stats = []
    for place, before in zip(places, state.running_stats, strict=False):
        units = slice(place.unit_at, place.unit_at + place.outputs)
        stats.append(before and RunningStats(*statistics[1:, units]))
    layers, *optimizer_state = (
        layout.unpack(row, state.layers, places) for row in flat
    )
    ema = optimizer_state.pop() if state.ema else ()
    return state._replace(
        step=state.step + count,
        layers=layers,
        optimizer_state=tuple(optimizer_state),
        running_stats=tuple(stats),
        ema=ema,
    )
