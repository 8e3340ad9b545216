"""Many training steps by the compiled kernels."""

from typing import Any, NamedTuple

import numpy as np

from nnx.maths import network
from nnx.maths import steps as plain
from nnx.maths.arrays import Array
from nnx.maths.blocks import BLOCK, block_count
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.ops import Ops
from nnx.maths.shards import ALONE, Communicator, own_shards, summed
from nnx.maths.state import Images, Layers, Parameters, State
from nnx_backends.memories import Memories
from nnx_backends.numba_cpu import bfloat16, layout, program, steps
from nnx_backends.numba_cpu.layout import Place
from nnx_backends.numba_cpu.memory import (
    Memory,
    layer_records,
    memory,
    run_record,
    state_after,
)
from nnx_backends.numba_cpu.narrow import UNITS
from nnx_backends.numba_cpu.program import Program, Shape, shapes_of
from nnx_backends.numba_cpu.records import HYPER, STEP
from nnx_backends.numba_cpu.threads import Threads
from nnx_backends.numba_cpu.vectors import ROWS
from nnx_backends.step_numbers import step_numbers

# Multiplications that a thread must have to do for starting it to pay off.
WORTH_A_THREAD = 20_000_000
NO_CALLS = np.zeros(0, steps.CALL)
# Arrays that each call replaces in a state's memory; kept, they would keep a whole data
# set alive.
OF_IMAGES = "pixels", "labels", "weights", "order", "losses", "scores", "logits"


class Work(NamedTuple):
    """The arguments of the compiled steps.

    use: distinguishes this memory from memory for other steps
    team: the number of threads; run, layers, hypers: records; programs: of each block
        of a batch, and of each step
    """

    memory: Memory
    places: list[Place]
    use: Any
    team: int
    run: Array
    layers: Array
    hypers: Array
    programs: tuple[Array, Array]


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

    rounds: whether factors of float32 products are rounded to bfloat16
    communicator: of the processes that divide the shards of a batch
    """
    how = threads, memories, rounds
    if hyper.shards > 1:
        return _run_shards(state, images, order, count, hyper, communicator, *how)
    work = _work(state, images, order, count, hyper, *how)
    _train(threads, work)
    after = state_after(state, work.memory, work.places, count, hyper.batch_size)
    _keep(memories, after, work)
    return after


def _keep(memories: Memories[Memory], state: State, work: Work) -> None:
    """Keep the memory of a state, without the images that led to it."""
    own = work.memory._replace(**dict.fromkeys(OF_IMAGES))
    memories.keep(state, work.use, own)


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


def _run_shards(
    state: State,
    images: Images,
    order: Array,
    count: int,
    hyper: Hyperparameters,
    communicator: Communicator,
    threads: Threads,
    memories: Memories[Memory],
    rounds: bool,
) -> State:
    """Return the same for batches in shards; this process computes its own shards.

    Batch normalization needs other shards' sums within a step, so its steps are those
    of the plain maths.
    """
    if hyper.batch_norm:
        ops = Ops(np, communicator=communicator)
        return plain.run_steps(state, images, order, count, hyper, ops)
    work = _work(state, images, order, count, hyper, threads, memories, rounds)
    own, size, sums = work.memory, hyper.batch_size, (state.loss_sum, state.score_sum)
    if count == 0:
        _train(threads, work)
    for i in range(count):
        work.run["steps"], work.run["begin"] = 1, i
        rows = slice(i * size, min((i + 1) * size, len(own.order)))
        shards = own_shards(hyper.shards, communicator)
        parts = [
            _shard(work, threads, rows, i, hyper.shards, copy=len(shards) > 1)
            for i in shards
        ]
        own.gradients[:], *of_step = summed(parts, communicator)
        sums = tuple(a + b for a, b in zip(sums, of_step, strict=True))
        work.run["top"] = work.run["bottom"] = 0
        _train(threads, work)
    after = state_after(state, own, work.places, count, size)
    after = after._replace(loss_sum=sums[0], score_sum=sums[1])
    _keep(memories, after, work)
    return after


def _shard(
    work: Work, threads: Threads, rows: slice, shard: int, shards: int, *, copy: bool
) -> tuple[Array, Array, Array]:
    """Return a shard's part of a batch's gradients, flat, and of its two sums.

    rows: of the batch in the order
    copy: whether to copy the gradients, as another shard is computed before the sum
    """
    own, n = work.memory, rows.stop - rows.start
    top, bottom = shard * n // shards, (shard + 1) * n // shards
    if top == bottom:
        own.gradients[:] = 0.0
    work.run["top"], work.run["bottom"] = top, bottom
    _train(threads, work._replace(programs=(work.programs[0], work.programs[1][:0])))
    images = slice(rows.start + top, rows.start + bottom)
    counts = own.scores.dtype == np.uint8
    scores = own.scores[images].sum(axis=0, dtype=np.int64 if counts else None)
    gradients = own.gradients.copy() if copy else own.gradients
    return gradients, own.losses[images].sum(), scores


def _work(
    state: State,
    images: Images,
    order: Array,
    count: int,
    hyper: Hyperparameters,
    threads: Threads,
    memories: Memories[Memory],
    rounds: bool,
) -> Work:
    """Return the arguments of the compiled steps for `count` steps."""
    per_epoch = max(1, block_count(len(order), hyper.batch_size))
    first = state.step % per_epoch * hyper.batch_size
    index = np.ascontiguousarray(
        order[first : first + count * hyper.batch_size], np.int64
    )
    team = threads.size(hyper.batch_size // hyper.shards // 4)
    places, shapes = planned(state.layers, hyper, threads.most, rounds=rounds)
    rounds = any(shape.rounds for shape in shapes)
    # The memory does not depend on these numbers, which may change between calls.
    use = places, hyper._replace(learning_rate=0.0, l2=0.0), team
    latest = memories.take(state, use)
    own = memory(state, images, index, places, hyper, team, latest, rounds=rounds)
    weighted = images.weights is not None
    every_block = program.every_block(
        shapes, own.pixels.dtype, hyper, weighted=weighted
    )
    real = own.parameters.dtype
    run = run_record(own, state.step, count, state.step // per_epoch, hyper)
    # Kernels count images from the first of the data set, which a window may lack.
    run["pixels"] -= (images.first or 0) * own.pixels[0].nbytes
    return Work(
        own,
        places,
        use,
        team,
        run,
        layer_records(own, places, hyper),
        _hypers(hyper, state.step, count, per_epoch),
        (_calls(every_block, real), _calls(program.every_step(shapes, hyper), real)),
    )


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
    """Return the logits of images, (n, classes); like `nnx.maths.evaluation.logits`."""
    n, dtype = len(pixels), layers[0].weight.dtype
    products = n * sum(layer.weight.size for layer in layers)
    if products < WORTH_A_THREAD:
        x = pixels.astype(dtype) * pixel_scale
        return network.logits(layers, x, activations, Ops(np))
    hyper = Hyperparameters(activations, pixel_scale, min(n, BLOCK))
    state = State(0, layers, np.zeros((), dtype), np.zeros((), np.int64))
    team = threads.size(products // WORTH_A_THREAD)
    images = Images(pixels, np.zeros(n, np.int64))
    places, shapes = planned(layers, hyper, threads.most, rounds=False)
    own = memory(state, images, np.arange(n), places, hyper, team)
    count = block_count(n, hyper.batch_size)
    work = Work(
        own,
        places,
        None,
        team,
        run_record(own, 0, count, 0, hyper),
        layer_records(own, places, hyper),
        _hypers(hyper, 0, count, count),
        (_calls(program.logits(shapes, own.pixels.dtype, hyper), dtype), NO_CALLS),
    )
    _train(threads, work)
    return own.logits


def _calls(program: Program, real: Any) -> Array:
    """Return a program as the array of calls that the compiled steps make."""
    calls = [(kernel.address(real) if kernel else 0, i) for kernel, i in program]
    return np.array(calls, steps.CALL)


def _train(threads: Threads, work: Work) -> None:
    """Call the compiled steps in a team; for 0 steps, only compile them."""
    own_steps = np.zeros(work.team, STEP)
    own_steps["clip"] = 1.0
    team = work.team if work.run["steps"][0] else 1
    numbers = work.run, work.layers, work.hypers, own_steps
    threads.run(team, steps.train, *numbers, *work.programs)


def _hypers(hyper: Hyperparameters, first: int, count: int, per_epoch: int) -> Array:
    """Return a record of numbers for each step, or one record that all steps share."""
    names = HYPER.names or ()
    return step_numbers(hyper, names, first, count, per_epoch).view(HYPER).ravel()
