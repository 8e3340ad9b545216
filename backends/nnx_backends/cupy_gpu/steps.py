"""Many training steps in one launch: one kernel for a network and its recipe."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np

from nnx.maths import random
from nnx.maths.arrays import Array
from nnx.maths.blocks import block_count
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.shards import ALONE, Communicator
from nnx.maths.state import Images, Parameters, State
from nnx_backends.cupy_gpu import layout, nccl
from nnx_backends.cupy_gpu.layout import Place
from nnx_backends.cupy_gpu.memory import (
    Memory,
    inputs,
    memory,
    run_record,
    state_after,
)
from nnx_backends.cupy_gpu.plan import (
    LANES,
    KernelKey,
    plans,
    shared_bytes,
    uncovered,
)
from nnx_backends.cupy_gpu.self_test import SelfTest
from nnx_backends.cupy_gpu.source import NUMBERS, constants, source
from nnx_backends.cupy_gpu.tiles import TILE
from nnx_backends.memories import Memories
from nnx_backends.step_numbers import step_numbers

# Compute capabilities, in tenths. Volta is the first to have barriers of memory and of
# parts of a block. Ampere has tensor cores for TF32 and bfloat16, and copies to shared
# memory for which a thread need not wait.
OLDEST, SINCE = 70, 80
ROUNDED = "factors of products rounded to bfloat16"
# The most operations of a launch that must be short, half a second on a small card by
# estimate, and how many operations a step's barriers count as.
MOST_OPERATIONS, OF_BARRIERS = 10**12, 10**8


class Card(NamedTuple):
    """A card as the fused steps see it.

    cupy: the library, on the card
    room: bytes of shared memory that a block may have
    precision: of products' factors, one of PRECISIONS
    time_limited: whether the system ends launches that take seconds, as on a card
        that also drives a display
    tensor_cores: whether it has those for TF32, see `has_tf32`
    """

    cupy: Any
    room: int
    precision: str = "full"
    time_limited: bool = False
    tensor_cores: bool = True


def shared_memory(device: Any) -> int:
    """Return the bytes a block may have, or 0 on a device that has no grid barriers."""
    attributes = device.attributes
    usable = int(device.compute_capability) >= OLDEST
    if not (usable and attributes.get("CooperativeLaunch")):
        return 0
    return int(attributes["MaxSharedMemoryPerBlockOptin"])


def has_tf32(device: Any) -> bool:
    """Return whether a device has tensor cores for TF32, as Ampere and later ones."""
    return int(device.compute_capability) >= SINCE


def fused(
    plain: Callable[..., State], card: Card, self_test: SelfTest
) -> Callable[..., State]:
    """Return a function that takes many steps in a launch if possible, else plain ones.

    self_test: of each kernel, on the card
    """
    memories = Memories[Memory]()
    return partial(
        run_steps, plain=plain, card=card, memories=memories, self_test=self_test
    )


def way(
    state: State,
    hyper: Hyperparameters,
    communicator: Communicator,
    *,
    card: Card | None,
    self_test: SelfTest,
) -> str:
    """Return how steps are taken, in words; see `uncovered`.

    card: None if each operation is a launch of its own
    """
    said = list[str]()
    if card is not None:
        reason = uncovered(state, hyper, card.room) or self_test.failure
        apart = f"each operation is a launch of its own, because of {reason}"
        said.append(apart if reason else "many steps are one launch")
        if card.precision == "bf16":
            said.append("nothing rounded" if reason else _rounded(state, hyper, card))
    if communicator.size > 1:
        said.append(nccl.way())
    return "; ".join(said)


def _rounded(state: State, hyper: Hyperparameters, card: Card) -> str:
    by_tiles = plans(state.layers, hyper.batch_size, card.room)[0].head_by_tiles
    return ROUNDED if by_tiles else f"{ROUNDED}, but for the last layer's outputs"


def run_steps(
    state: State,
    images: Images,
    order: Array,
    count: int,
    hyper: Hyperparameters,
    *,
    plain: Callable[..., State],
    card: Card,
    memories: Memories[Memory],
    self_test: SelfTest,
    communicator: Communicator = ALONE,
) -> State:
    """Return the state after `count` more steps; like `nnx.maths.steps.run_steps`.

    plain: takes steps that are `uncovered`, or whose kernel failed its test
    self_test: says which kernels must not be used
    """
    if not uncovered(state, hyper, card.room):
        n = len(order)
        key = _key(state, images, n, hyper, card)
        launch = partial(in_one_launch, key=key, card=card, memories=memories)
        if self_test.passed(key, launch, state, images, n, hyper):
            for part in _launches(count, state.layers, key, card):
                state = launch(state, images, order, part, hyper)
            return state
    return plain(state, images, order, count, hyper, communicator=communicator)


def _launches(
    count: int, layers: Parameters, key: KernelKey, card: Card
) -> Iterator[int]:
    """Yield how many of the steps each launch takes."""
    operations = 6 * key.hyper.batch_size * sum(layer.weight.size for layer in layers)
    limit = count
    if card.time_limited:
        limit = MOST_OPERATIONS // (operations + OF_BARRIERS)
    limit = max(limit, 1)
    for first in range(0, count, limit):
        yield min(limit, count - first)


def in_one_launch(
    state: State,
    images: Images,
    order: Array,
    count: int,
    hyper: Hyperparameters,
    *,
    key: KernelKey,
    card: Card,
    memories: Memories[Memory],
) -> State:
    """Return the state after `count` more steps, which must not be `uncovered`."""
    cupy, n = card.cupy, len(order)
    per_epoch = block_count(n, hyper.batch_size)
    # Counted in the whole set: the order may be a window of it, shorter than a batch.
    epoch = state.step // block_count(len(images.labels), hyper.batch_size)
    at = state.step % per_epoch * hyper.batch_size
    own = memories.take(state, key) or memory(state, key, cupy)
    own.counter.fill(0)
    loss_sum, score_sum = state.loss_sum.copy(), state.score_sum.copy()
    # Kept until the launch has been made, which has only their addresses.
    given = inputs(images, hyper, cupy)
    given |= {"order": order, "loss_sum": loss_sum, "score_sum": score_sum}
    key0, key1 = random.key(hyper.seed)
    numbers = {"begin": state.step, "count": count, "epoch": epoch, "at": at, "n": n}
    # Images are counted from the set's first, which a window may not have.
    before = (images.first or 0) * given["pixels"][0].nbytes
    numbers["pixels"] = (given["pixels"].data.ptr - before) % 2**64
    run = run_record(own, given, numbers | {"key0": key0, "key1": key1})
    hypers = step_numbers(hyper, NUMBERS, state.step, count, per_epoch)
    hypers = cupy.asarray(hypers, np.float32)
    _kernel(key, card)(run, hypers, np.int32(len(hypers) > 1))
    after = state_after(state, own, key.places, count)._replace(
        loss_sum=loss_sum, score_sum=score_sum
    )
    memories.keep(after, key, own)
    return after


def _key(
    state: State, images: Images, n: int, hyper: Hyperparameters, card: Card
) -> KernelKey:
    """Return what the kernel for a state's next steps depends on.

    n: images in the order, which may be fewer than a batch
    """
    # Fewer images than a batch are rounded up to a power of two, for few kernels.
    batch = min(hyper.batch_size, max(TILE, 1 << (n - 1).bit_length()))
    fixed = hyper._replace(
        batch_size=batch, learning_rate=0.0, l2=float(hyper.l2 > 0.0)
    )
    pixels = "unsigned char" if images.pixels.dtype == np.uint8 else "float"
    plan, *_ = plans(state.layers, batch, card.room)
    rows = layout.whole(batch, TILE)
    places = layout.places(state.layers, rows, head_by_tiles=plan.head_by_tiles)
    return KernelKey(
        tuple(places),
        fixed,
        plan,
        pixels,
        _are_bytes(images, hyper),
        weighted=images.weights is not None,
        device=card.cupy.cuda.Device().id,
    )


def _are_bytes(images: Images, hyper: Hyperparameters) -> bool:
    """Return whether pixels are read as they lie in the set, four at once."""
    aligned = images.pixels.shape[1] % 4 == 0 and images.pixels.dtype == np.uint8
    changed = hyper.augment or hyper.input_noise or hyper.input_dropout
    return aligned and not changed


@lru_cache(maxsize=32)
def _kernel(key: KernelKey, card: Card) -> Callable[..., None]:
    """Return a function that launches the kernel of a network and a recipe."""
    processors = card.cupy.cuda.Device(key.device).attributes["MultiProcessorCount"]
    batch, last = key.hyper.batch_size, key.places[-1]
    blocks = min(processors, _most_items(key.places, batch))
    threads = LANES * key.plan.block.warps
    shared = shared_bytes(key.plan, last.inputs, last.outputs, batch)
    function = card.cupy.RawKernel(
        source(constants(key, card.precision, blocks, tensor_cores=card.tensor_cores)),
        "train",
        options=("-std=c++17",),
        enable_cooperative_groups=True,
    )
    function.max_dynamic_shared_size_bytes = shared

    def launch(*arguments: Any) -> None:
        function((blocks,), (threads,), arguments, shared_mem=shared)

    return launch


def _most_items(places: Sequence[Place], batch: int) -> int:
    """Return how many blocks the phase with the most items can have at work."""
    tiles = layout.whole(batch, TILE) // TILE
    updates = sum(p.rows // TILE * (p.width // TILE) for p in places[:2])
    return max(updates, batch, *(8 * tiles * p.width // TILE for p in places))
