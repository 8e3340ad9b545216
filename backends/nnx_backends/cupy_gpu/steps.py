"""Many training steps in one launch: one kernel for a network and its recipe."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from nnx.maths.arrays import Array
from nnx.maths.blocks import BLOCK, block_count
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.schedules import at_steps
from nnx.maths.state import Images, RunningStats, State
from nnx_backends.cupy_gpu import layout
from nnx_backends.cupy_gpu.layout import FOUR, TILE, Place
from nnx_backends.cupy_gpu.source import NUMBERS, WARPS, constants, source
from nnx_backends.memories import Memories

THREADS = 32 * WARPS
PARTS = 2 * 36 * 8 * WARPS * 4  # numbers in shared memory, see product.cu
SCRATCH = THREADS + 2 * WARPS * 32
MOST_OUTPUTS = 32  # a lane each
SINCE = 80  # compute capability 8.0, Ampere: TF32

# In the order of `Run` in descend.cu, each an address or an integer of 64 bits.
FIELDS = (
    "pixels", "labels", "weights", "class_weights", "order",
    "parameters", "first", "second", "ema", "gradients",
    "images", "inputs", "outputs", "slopes", "normalized",
    "scales", "means", "variances", "squares", "losses", "scores", "loss_sum",
    "score_sum", "counter", "begin", "count", "at", "n", "key0", "key1",
)  # fmt: skip
RUN = np.dtype([(name, np.uint64) for name in FIELDS])


class Memory(NamedTuple):
    """Flat arrays on the device, by the names of `Run`.

    flat: (4, size), parameters, first, second and ema
    statistics: (3, units), scales, means and variances
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


def shared_memory(device: Any) -> int:
    """Return the bytes a block may have, or 0 on a device without TF32 or barriers."""
    attributes = device.attributes
    usable = int(device.compute_capability) >= SINCE
    if not (usable and attributes.get("CooperativeLaunch")):
        return 0
    return int(attributes["MaxSharedMemoryPerBlockOptin"])


def uncovered(state: State, images: Images, hyper: Hyperparameters, room: int) -> str:
    """Return why steps are plain ones, or "" if one launch does many.

    room: bytes of shared memory that a block may have
    """
    outputs = state.layers[-1].weight.shape[1]
    reasons = {
        "float64": state.layers[0].weight.dtype != np.float32,
        "no hidden layer": len(state.layers) < 2,
        f"{outputs} outputs": outputs > MOST_OUTPUTS,
        f"batches of {hyper.batch_size}": hyper.batch_size > BLOCK,
        f"{state.layers[-1].weight.shape[0]} units before the last layer": _shared(
            *state.layers[-1].weight.shape, hyper.batch_size
        )
        > room,
        "distortion": hyper.augment is not None,
        "input noise": hyper.input_noise > 0.0,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def run_steps(
    state: State,
    images: Images,
    order: Array,
    count: int,
    hyper: Hyperparameters,
    *,
    plain: Callable[..., State],
    cupy: Any,
    room: int,
    memories: Memories[Memory],
) -> State:
    """Return the state after so many more steps; like `nnx.maths.steps.run_steps`.

    plain: takes the steps that no launch takes many of; see `uncovered`
    """
    if uncovered(state, images, hyper, room):
        return plain(state, images, order, count, hyper)
    n, batch = len(order), hyper.batch_size
    hyper = hyper._replace(batch_size=min(batch, n))
    per_epoch = block_count(n, batch)
    places = layout.places(state.layers, layout.whole(hyper.batch_size, TILE))
    # Numbers that neither kernel nor memory depends on may be others in the next steps.
    fixed = hyper._replace(learning_rate=0.0, l2=0.0 if hyper.l2 == 0.0 else 1.0)
    pixels = "unsigned char" if images.pixels.dtype == np.uint8 else "float"
    kinds = pixels, _are_bytes(images, hyper), images.weights is not None
    use = tuple(places), fixed, kinds, cupy.cuda.Device().id
    kernel = _kernel(*use, cupy)
    own = memories.take(state, use) or _memory(state, hyper, places, cupy)
    own.counter.fill(0)
    loss_sum, score_sum = state.loss_sum.copy(), state.score_sum.copy()
    hypers = _hypers(hyper, state.step, count, per_epoch)
    # Kept until the launch has been made, as its arrays' addresses are in it.
    inputs = _inputs(images, hyper, cupy)
    numbers = {
        "begin": state.step,
        "count": count,
        "at": state.step % per_epoch * batch,
        "n": n,
        "key0": hyper.seed & 0xFFFFFFFF,
        "key1": hyper.seed >> 32,
        "order": order.data.ptr,
        "loss_sum": loss_sum.data.ptr,
        "score_sum": score_sum.data.ptr,
    }
    run = _record(own, places, inputs, numbers)
    kernel(run, cupy.asarray(hypers), np.int32(len(hypers) > 1))
    after = _after(state, own, places, count, loss_sum, score_sum)
    memories.keep(after, use, own)
    return after


def _hypers(hyper: Hyperparameters, first: int, count: int, per_epoch: int) -> Array:
    """Return each step's numbers, (steps, numbers), or one row if all are the same."""
    each = list(at_steps(hyper, first, max(count, 1), per_epoch))
    if each[0] is each[-1]:
        each = each[:1]
    return np.array([attrgetter(*NUMBERS)(now) for now in each], np.float32)


def _inputs(images: Images, hyper: Hyperparameters, cupy: Any) -> dict[str, Array]:
    """Return the arrays of a set as the kernel reads them."""
    pixels, labels, weights = images
    if pixels.dtype not in (np.uint8, np.float32):
        pixels = pixels.astype(np.float32)
    kind = np.int64 if hyper.loss == "cross_entropy" else np.float32
    found = {
        "pixels": cupy.ascontiguousarray(pixels),
        "labels": cupy.ascontiguousarray(labels, dtype=kind),
    }
    if weights is not None:
        found["weights"] = cupy.ascontiguousarray(weights, dtype=np.float32)
    if hyper.class_weights:
        found["class_weights"] = cupy.asarray(hyper.class_weights, dtype=np.float32)
    return found


def _are_bytes(images: Images, hyper: Hyperparameters) -> bool:
    """Return whether pixels are read as they lie in the set, four at once."""
    aligned = images.pixels.shape[1] % 4 == 0 and images.pixels.dtype == np.uint8
    return aligned and hyper.input_dropout == 0.0


def _shared(inputs: int, outputs: int, batch: int) -> int:
    """Return the bytes of shared memory, by the last layer's size."""
    head = inputs * layout.whole(outputs, FOUR)
    return 4 * (PARTS + head + SCRATCH + 2 * layout.whole(batch, TILE))


@lru_cache(maxsize=32)
def _kernel(
    places: tuple[Place, ...],
    hyper: Hyperparameters,
    kinds: tuple[str, bool, bool],
    device: int,
    cupy: Any,
) -> Callable[..., None]:
    """Return a function that launches the kernel of a network and a recipe.

    kinds: the type of pixels, whether they are bytes to be read as they lie in the set,
        and whether images have weights
    """
    processors = cupy.cuda.Device(device).attributes["MultiProcessorCount"]
    blocks = min(processors, _most_items(places, hyper.batch_size))
    shared = _shared(places[-1].inputs, places[-1].outputs, hyper.batch_size)
    pixels, bytes_as_they_are, weighted = kinds
    text = constants(
        places,
        hyper,
        pixels=pixels,
        bytes_as_they_are=bytes_as_they_are,
        weighted=weighted,
        blocks=blocks,
    )
    function = cupy.RawKernel(
        source(text),
        "train",
        options=("-std=c++17",),
        enable_cooperative_groups=True,
    )
    function.max_dynamic_shared_size_bytes = shared

    def launch(*arguments: Any) -> None:
        function((blocks,), (THREADS,), arguments, shared_mem=shared)

    return launch


def _most_items(places: Sequence[Place], batch: int) -> int:
    """Return how many blocks the phase with the most items can have at work."""
    tiles = layout.whole(batch, TILE) // TILE
    updates = sum(p.rows // TILE * (p.width // TILE) for p in places[:2])
    return max(updates, batch, *(2 * tiles * p.width // TILE for p in places))


def _memory(
    state: State, hyper: Hyperparameters, places: Sequence[Place], cupy: Any
) -> Memory:
    rows, last = layout.whole(hyper.batch_size, TILE), places[-1]
    units = last.unit_at + last.width

    def zeros(*shape: int) -> Array:
        return cupy.zeros(shape, np.float32)

    own = Memory(
        flat=zeros(4, last.end),
        statistics=zeros(3, units),
        gradients=zeros(last.end if hyper.clip_norm else 1),
        images=zeros(2, rows, places[0].rows),
        batch=zeros(4, last.at + rows * last.width),
        squares=zeros(sum(p.rows * p.width // TILE**2 + p.width for p in places)),
        losses=zeros(rows),
        scores=zeros(rows, 32),
        counter=cupy.zeros(1, np.uint32),
    )
    trees = state.layers, *state.optimizer_state
    for flat, layers in zip(own.flat, trees, strict=False):
        layout.pack(layers, places, flat)
    if state.ema:
        layout.pack(state.ema, places, own.flat[3])
    for place, stats in zip(places, state.running_stats, strict=False):
        if stats is not None:
            units = slice(place.unit_at, place.unit_at + place.outputs)
            own.statistics[1, units], own.statistics[2, units] = stats
    return own


def _record(
    own: Memory,
    places: Sequence[Place],
    inputs: dict[str, Array],
    numbers: dict[str, int],
) -> Any:
    """Return the record of what all steps have in common, which is passed by value."""
    arrays = inputs | own._asdict()
    arrays |= dict(zip(("parameters", "first", "second", "ema"), own.flat, strict=True))
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


def _after(
    state: State,
    own: Memory,
    places: Sequence[Place],
    count: int,
    loss_sum: Array,
    score_sum: Array,
) -> State:
    """Return the state that so many steps have led to; its arrays are its own."""
    flat = own.flat.copy()
    statistics = own.statistics.copy() if any(state.running_stats) else own.statistics
    stats = []
    for place, before in zip(places, state.running_stats, strict=False):
        units = slice(place.unit_at, place.unit_at + place.outputs)
        stats.append(before and RunningStats(*statistics[1:, units]))
    return State(
        state.step + count,
        layout.unpack(flat[0], state.layers, places),
        loss_sum,
        score_sum,
        tuple(
            layout.unpack(each, state.layers, places)
            for each, _ in zip(flat[1:3], state.optimizer_state, strict=False)
        ),
        tuple(stats),
        layout.unpack(flat[3], state.layers, places) if state.ema else (),
    )
