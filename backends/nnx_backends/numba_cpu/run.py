"""Many training steps by the compiled kernels."""

from operator import attrgetter

import numpy as np

from nnx.maths import network
from nnx.maths.arrays import Array
from nnx.maths.blocks import BLOCK, block_count
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.ops import Ops
from nnx.maths.schedules import at_steps
from nnx.maths.state import Images, Layers, State
from nnx_backends.memories import Memories
from nnx_backends.numba_cpu import layout, program, steps
from nnx_backends.numba_cpu.memory import (
    Memory,
    layer_records,
    memory,
    run_record,
    state_after,
)
from nnx_backends.numba_cpu.program import Program, shapes_of
from nnx_backends.numba_cpu.records import HYPER, STEP
from nnx_backends.numba_cpu.threads import Threads

# Products of two numbers that a thread should have to do, for its start to pay.
WORTH_A_THREAD = 20_000_000


@np.errstate(over="ignore", invalid="ignore")  # the loop tells of what diverges
def run_steps(
    state: State,
    images: Images,
    order: Array,
    count: int,
    hyper: Hyperparameters,
    *,
    threads: Threads,
    memories: Memories[Memory],
) -> State:
    """Return the state after so many more steps; like `nnx.maths.steps.run_steps`."""
    per_epoch = max(1, block_count(len(order), hyper.batch_size))
    first = state.step % per_epoch * hyper.batch_size
    index = np.ascontiguousarray(
        order[first : first + count * hyper.batch_size], np.int64
    )
    team = threads.size(hyper.batch_size // 4)
    places = layout.places(state.layers, min(hyper.batch_size, BLOCK), threads.most)
    # Numbers that memory does not depend on may be others in the next steps.
    use = places, hyper._replace(learning_rate=0.0, l2=0.0), team
    latest = memories.take(state, use)
    own = memory(state, images, index, places, hyper, team, latest)
    shapes = shapes_of(places, hyper.activations, own.parameters.dtype)
    programs = (
        program.every_block(
            shapes, own.pixels.dtype, hyper, weighted=images.weights is not None
        ),
        program.every_step(shapes, hyper),
    )
    hypers = _at_steps(hyper, state.step, count, per_epoch)
    run = run_record(own, state.step, count, state.step // per_epoch, hyper)
    records = layer_records(own, places, hyper)
    _train(threads, team, run, records, hypers, programs)
    after = state_after(state, own, places, count, hyper.batch_size)
    memories.keep(after, use, own)
    return after


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
    places = layout.places(layers, hyper.batch_size, threads.most)
    own = memory(state, images, np.arange(n), places, hyper, team)
    shapes = shapes_of(places, activations, dtype)
    count = block_count(n, hyper.batch_size)
    hypers, run = _at_steps(hyper, 0, count, count), run_record(own, 0, count, 0, hyper)
    programs = program.logits(shapes, own.pixels.dtype, hyper), ()
    records = layer_records(own, places, hyper)
    _train(threads, team, run, records, hypers, programs)
    return own.logits


def _train(
    threads: Threads,
    team: int,
    run: Array,
    layers: Array,
    hypers: Array,
    programs: tuple[Program, Program],
) -> None:
    """Call the compiled steps in a team; for no steps, have them compiled."""
    real = run.dtype["one"]
    every_block, every_step = (
        np.array(
            [(kernel.address(real) if kernel else 0, i) for kernel, i in each],
            steps.CALL,
        )
        for each in programs
    )
    own_steps = np.zeros(team, STEP)
    own_steps["clip"] = 1.0
    threads.run(
        team if run["steps"][0] else 1,
        steps.train,
        run,
        layers,
        hypers,
        own_steps,
        every_block,
        every_step,
    )


def _at_steps(hyper: Hyperparameters, first: int, count: int, per_epoch: int) -> Array:
    """Return a record of each step's numbers, or one that all steps have in common."""
    numbers = attrgetter(*HYPER.names or ())
    each = list(at_steps(hyper, first, count, per_epoch))
    if count and each[0] is each[-1]:
        each = each[:1]
    return np.fromiter(map(numbers, each), HYPER, len(each))
