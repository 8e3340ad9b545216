"""Many training steps by the compiled kernels."""

from typing import Any, NamedTuple

import numpy as np

from nnx.maths import network
from nnx.maths import steps as plain
from nnx.maths.arrays import Array
from nnx.maths.blocks import BLOCK, block_count, blocks
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.ops import Ops
from nnx.maths.shards import ALONE, Communicator, own_shards, summed
from nnx.maths.state import Images, Layers, Parameters, State
from nnx_backends.memories import Memories
from nnx_backends.numba_cpu import bfloat16, layout, program, steps
from nnx_backends.numba_cpu.images import (
    ImageMemory,
    image_memory,
    pixel_dtype,
    sums_after,
)
from nnx_backends.numba_cpu.layout import Place
from nnx_backends.numba_cpu.memory import (
    Memory,
    layer_records,
    run_record,
    state_after,
    state_memory,
)
from nnx_backends.numba_cpu.narrow import UNITS
from nnx_backends.numba_cpu.program import Program, Shape, shapes_of
from nnx_backends.numba_cpu.records import HYPER, STEP
from nnx_backends.numba_cpu.threads import Threads
from nnx_backends.numba_cpu.vectors import ROWS
from nnx_backends.step_numbers import step_numbers

# The fewest multiplications for which starting a thread pays off: for logits, in steps.
WORTH_A_THREAD, STEPS_WORTH_A_THREAD = 20_000_000, 20_000_000
NO_CALLS = np.zeros(0, steps.CALL)


class Work(NamedTuple):
    """A team's memory of a state, and what else calls that continue from it share.

    run, layers: records
    every_block, every_step: programs as arrays of `steps.CALL`
    """

    memory: Memory
    run: Array
    layers: Array
    every_block: Array
    every_step: Array


class Call(NamedTuple):
    """A call of the compiled steps; hypers: records."""

    threads: Threads
    work: Work
    images: ImageMemory
    hypers: Array

    def train(self, every_block: Array, every_step: Array) -> None:
        """Run programs in a team; for 0 steps, only compile them."""
        memory, run = self.work.memory, self.work.run
        steps_of_threads = np.zeros(memory.team, STEP)
        steps_of_threads["clip"] = 1.0
        # A product of each weight forward, and two backward.
        products = 3 * len(self.images.order) * len(memory.parameters)
        team = min(memory.team, 1 + products // STEPS_WORTH_A_THREAD)
        records = run, self.work.layers, self.hypers, steps_of_threads
        self.threads.run(team, steps.train, *records, every_block, every_step)


def run_steps(
    state: State,
    images: Images,
    order: Array,
    count: int,
    hyper: Hyperparameters,
    *,
    threads: Threads,
    memories: Memories[Work],
    rounds: bool = False,
    communicator: Communicator = ALONE,
) -> State:
    """Return the state after `count` more steps; like `nnx.maths.steps.run_steps`.

    Batch normalization needs other shards' sums within a step, so its steps in shards
    are those of the plain maths.

    rounds: whether factors of float32 products are rounded to bfloat16
    communicator: of the processes that divide the shards of a batch
    """
    if hyper.batch_norm and hyper.shards > 1:
        ops = Ops(np, communicator=communicator)
        return plain.run_steps(state, images, order, count, hyper, ops)
    team = threads.size(hyper.batch_size // hyper.shards // 4)
    pixels = pixel_dtype(images, state.layers[0].weight.dtype)
    kind = pixels, images.weights is not None
    # The work does not depend on these numbers, which may change between calls.
    use = kind, hyper._replace(learning_rate=0.0, l2=0.0), team
    work = memories.take(state, use)
    if work is None:
        planning = planned(state.layers, hyper, threads.most, rounds=rounds)
        work = _to_train(state, kind, hyper, team, *planning)
    call = _call(work, state, images, order, count, hyper, threads)
    if hyper.shards > 1 and count > 0:
        sums = _train_shards(call, state, hyper, communicator)
    else:
        call.train(work.every_block, work.every_step)
        sums = sums_after(state, call.images, hyper.batch_size)
    after = state_after(state, work.memory, count, sums)
    memories.keep(after, use, work)
    return after


def way(
    state: State, hyper: Hyperparameters, communicator: Communicator, *, rounds: bool
) -> str:
    """Return a description of steps by NumPy, or with rounded factors; otherwise ""."""
    if hyper.batch_norm and hyper.shards > 1:
        full = ", in full precision" if rounds else ""
        return f"NumPy's steps, because of batch normalization in shards{full}"
    if not rounds:
        return ""
    _, shapes = planned(state.layers, hyper, 1, rounds=True)
    if any(shape.rounds for shape in shapes):
        return "factors of products rounded to bfloat16"
    return f"nothing rounded, as no layer has over {UNITS} units in float32"


def _train_shards(
    call: Call, state: State, hyper: Hyperparameters, communicator: Communicator
) -> tuple[Array, Array]:
    """Take steps with batches in shards; return the sums of losses and of scores.

    This process computes its own shards.
    """
    work, loss_sum, score_sum = call.work, state.loss_sum, state.score_sum
    shards = own_shards(hyper.shards, communicator)
    for i, rows in enumerate(blocks(len(call.images.order), hyper.batch_size)):
        work.run["steps"], work.run["begin"] = 1, i
        parts = [
            _shard(call, rows, i, hyper.shards, copy=len(shards) > 1) for i in shards
        ]
        work.memory.gradients[:], loss, score = summed(parts, communicator)
        loss_sum, score_sum = loss_sum + loss, score_sum + score
        call.train(NO_CALLS, work.every_step)
    return loss_sum, score_sum


def _shard(
    call: Call, rows: slice, shard: int, shards: int, *, copy: bool
) -> tuple[Array, Array, Array]:
    """Return a shard's part of a batch's gradients, flat, and of its two sums.

    rows: of the batch in the order
    copy: whether to copy the gradients, as another shard is computed before the sum
    """
    work, n = call.work, rows.stop - rows.start
    gradients = work.memory.gradients
    top, bottom = shard * n // shards, (shard + 1) * n // shards
    if top == bottom:
        gradients[:] = 0.0
    work.run["top"], work.run["bottom"] = top, bottom
    call.train(work.every_block, NO_CALLS)
    own = slice(rows.start + top, rows.start + bottom)
    losses, scores = call.images.losses[own], call.images.scores[own]
    counts = scores.dtype == np.uint8
    of_scores = scores.sum(axis=0, dtype=np.int64 if counts else None)
    return gradients.copy() if copy else gradients, losses.sum(), of_scores


def _to_train(
    state: State,
    kind: tuple[Any, bool],
    hyper: Hyperparameters,
    team: int,
    places: list[Place],
    shapes: list[Shape],
) -> Work:
    """Return the work of steps from a state.

    kind: the pixels' dtype, and whether images have weights
    places, shapes: from `planned`
    """
    rounds, (pixels, weighted) = any(shape.rounds for shape in shapes), kind
    memory = state_memory(state, places, hyper, team, rounds=rounds)
    every_block = program.every_block(shapes, pixels, hyper, weighted=weighted)
    return _work(memory, hyper, every_block, program.every_step(shapes, hyper))


def _work(
    memory: Memory, hyper: Hyperparameters, every_block: Program, every_step: Program
) -> Work:
    """Return the work of two programs in a state's memory."""
    real = memory.parameters.dtype
    records = run_record(memory, hyper), layer_records(memory, hyper)
    return Work(memory, *records, _calls(every_block, real), _calls(every_step, real))


def _call(
    work: Work,
    state: State,
    images: Images,
    order: Array,
    count: int,
    hyper: Hyperparameters,
    threads: Threads,
) -> Call:
    """Return a call of `count` steps from a state, and describe it in the run's record.

    order: of the epoch's images, as for `run_steps`
    """
    size = hyper.batch_size
    per_epoch = max(1, block_count(len(order), size))
    epoch, done = divmod(state.step, per_epoch)
    index = np.ascontiguousarray(order[done * size : (done + count) * size], np.int64)
    own = image_memory(images, index, state.layers, hyper)
    of_call = {"first_step": state.step, "steps": count, "epoch": epoch}
    of_images = {"images": len(index), "begin": 0, "top": 0, "bottom": size}
    arrays = {name: array.ctypes.data for name, array in own._asdict().items()}
    for name, value in (of_call | of_images | arrays).items():
        work.run[name] = value
    # Kernels count images from the first of the data set, which a window may lack.
    work.run["pixels"] -= (images.first or 0) * own.pixels[0].nbytes
    numbers = step_numbers(hyper, HYPER.names or (), state.step, count, per_epoch)
    return Call(threads, work, own, numbers.view(HYPER).ravel())


def planned(
    layers: Parameters, hyper: Hyperparameters, team: int, *, rounds: bool
) -> tuple[list[Place], list[Shape]]:
    """Return the layers' places for a team, and the shapes that select their kernels.

    rounds: whether factors are rounded; those of float64 never are
    """
    real = layers[0].weight.dtype
    rounds = rounds and real == np.float32
    widths = bfloat16.WIDTHS if rounds else ROWS
    places = layout.places(layers, min(hyper.batch_size, BLOCK), team, widths)
    return places, shapes_of(places, hyper.activations, real, rounds=rounds)


def logits(
    layers: Layers,
    pixels: Array,
    activations: tuple[str, ...],
    pixel_scale: float,
    *,
    threads: Threads,
) -> Array:
    """Return the logits of images, (n, outputs); like `nnx.maths.evaluation.logits`."""
    n, dtype = len(pixels), layers[0].weight.dtype
    products = n * sum(layer.weight.size for layer in layers)
    if products < WORTH_A_THREAD:
        x = pixels.astype(dtype) * pixel_scale
        return network.forward(layers, x, activations, Ops(np)).logits
    hyper = Hyperparameters(activations, pixel_scale, min(n, BLOCK))
    state = State(0, layers, np.zeros((), dtype), np.zeros((), np.int64))
    images, count = Images(pixels, np.zeros(n, np.int64)), block_count(n, BLOCK)
    places, shapes = planned(layers, hyper, threads.most, rounds=False)
    team = threads.size(products // WORTH_A_THREAD)
    memory = state_memory(state, places, hyper, team)
    pixel_type = pixel_dtype(images, dtype)
    work = _work(memory, hyper, program.logits(shapes, pixel_type, hyper), ())
    call = _call(work, state, images, np.arange(n), count, hyper, threads)
    call.train(work.every_block, work.every_step)
    return call.images.logits


def _calls(program: Program, real: Any) -> Array:
    """Return a program as the array of calls that the compiled steps make."""
    calls = [(kernel.address(real) if kernel else 0, i) for kernel, i in program]
    return np.array(calls, steps.CALL)
