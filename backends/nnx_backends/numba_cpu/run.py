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
from nnx_backends.numba_cpu.images import ImageMemory, image_memory, sums_after
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

# The fewest multiplications for which starting a thread pays off.
WORTH_A_THREAD = 20_000_000
NO_CALLS = np.zeros(0, steps.CALL)


class Work(NamedTuple):
    """The arguments of compiled steps, except for their programs.

    run, layers, hypers: records
    """

    threads: Threads
    memory: Memory
    images: ImageMemory
    run: Array
    layers: Array
    hypers: Array

    def train(self, every_block: Array, every_step: Array) -> None:
        """Call the compiled steps in a team; for 0 steps, only compile them."""
        steps_of_threads = np.zeros(self.memory.team, STEP)
        steps_of_threads["clip"] = 1.0
        team = self.memory.team if self.run["steps"][0] else 1
        records = self.run, self.layers, self.hypers, steps_of_threads
        self.threads.run(team, steps.train, *records, every_block, every_step)


def run_steps(
    state: State,
    images: Images,
    order: Array,
    count: int,
    hyper: Hyperparameters,
    *,
    threads: Threads,
    memories: Memories[Memory],
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
    places, shapes = planned(state.layers, hyper, threads.most, rounds=rounds)
    # The memory does not depend on these numbers, which may change between calls.
    use = places, hyper._replace(learning_rate=0.0, l2=0.0), team
    memory = memories.take(state, use)
    if memory is None:
        rounds = any(shape.rounds for shape in shapes)
        memory = state_memory(state, places, hyper, team, rounds=rounds)
    work = _work(state, images, order, count, hyper, threads, memory)
    pixels, weighted = work.images.pixels.dtype, images.weights is not None
    every_block = program.every_block(shapes, pixels, hyper, weighted=weighted)
    real, every_step = memory.parameters.dtype, program.every_step(shapes, hyper)
    programs = _calls(every_block, real), _calls(every_step, real)
    if hyper.shards > 1 and count > 0:
        sums = _train_shards(work, programs, state, hyper, communicator)
    else:
        work.train(*programs)
        sums = sums_after(state, work.images, hyper.batch_size)
    after = state_after(state, memory, count, sums)
    memories.keep(after, use, memory)
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
    work: Work,
    programs: tuple[Array, Array],
    state: State,
    hyper: Hyperparameters,
    communicator: Communicator,
) -> tuple[Array, Array]:
    """Take steps with batches in shards; return the sums of losses and of scores.

    This process computes its own shards.
    """
    every_block, every_step = programs
    loss_sum, score_sum = state.loss_sum, state.score_sum
    shards = own_shards(hyper.shards, communicator)
    for i, rows in enumerate(blocks(len(work.images.order), hyper.batch_size)):
        work.run["steps"], work.run["begin"] = 1, i
        parts = [
            _shard(work, every_block, rows, i, hyper.shards, copy=len(shards) > 1)
            for i in shards
        ]
        work.memory.gradients[:], loss, score = summed(parts, communicator)
        loss_sum, score_sum = loss_sum + loss, score_sum + score
        work.train(NO_CALLS, every_step)
    return loss_sum, score_sum


def _shard(
    work: Work, every_block: Array, rows: slice, shard: int, shards: int, *, copy: bool
) -> tuple[Array, Array, Array]:
    """Return a shard's part of a batch's gradients, flat, and of its two sums.

    rows: of the batch in the order
    copy: whether to copy the gradients, as another shard is computed before the sum
    """
    gradients, n = work.memory.gradients, rows.stop - rows.start
    top, bottom = shard * n // shards, (shard + 1) * n // shards
    if top == bottom:
        gradients[:] = 0.0
    work.run["top"], work.run["bottom"] = top, bottom
    work.train(every_block, NO_CALLS)
    own = slice(rows.start + top, rows.start + bottom)
    losses, scores = work.images.losses[own], work.images.scores[own]
    counts = scores.dtype == np.uint8
    of_scores = scores.sum(axis=0, dtype=np.int64 if counts else None)
    return gradients.copy() if copy else gradients, losses.sum(), of_scores


def _work(
    state: State,
    images: Images,
    order: Array,
    count: int,
    hyper: Hyperparameters,
    threads: Threads,
    memory: Memory,
) -> Work:
    """Return the arguments of `count` compiled steps from a state, in its memory.

    order: of the epoch's images, as for `run_steps`
    """
    size = hyper.batch_size
    per_epoch = max(1, block_count(len(order), size))
    epoch, done = divmod(state.step, per_epoch)
    index = np.ascontiguousarray(order[done * size : (done + count) * size], np.int64)
    own = image_memory(images, index, state.layers, hyper)
    run = run_record(memory, own, state.step, count, epoch, hyper)
    # Kernels count images from the first of the data set, which a window may lack.
    run["pixels"] -= (images.first or 0) * own.pixels[0].nbytes
    numbers = step_numbers(hyper, HYPER.names or (), state.step, count, per_epoch)
    hypers = numbers.view(HYPER).ravel()
    return Work(threads, memory, own, run, layer_records(memory, hyper), hypers)


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
    work = _work(state, images, np.arange(n), count, hyper, threads, memory)
    calls = program.logits(shapes, work.images.pixels.dtype, hyper)
    work.train(_calls(calls, dtype), NO_CALLS)
    return work.images.logits


def _calls(program: Program, real: Any) -> Array:
    """Return a program as the array of calls that the compiled steps make."""
    calls = [(kernel.address(real) if kernel else 0, i) for kernel, i in program]
    return np.array(calls, steps.CALL)
