"""Compiling a run's kernels before the run; CuPy compiles a kernel at its first use."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from nnx.maths import steps
from nnx.maths.arrays import Array
from nnx.maths.blocks import block_count
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.ops import Ops
from nnx.maths.shards import ALONE, Communicator
from nnx.maths.state import Images, State
from nnx_backends.cupy_gpu import nccl


def before_training(
    state: State, images: Images, hyper: Hyperparameters, **how: Any
) -> Iterable[float]:
    """Return `compile_kernels`, or nothing for batches in shards.

    All processes must take steps in shards together, and so `run_steps` compiles them.
    """
    return compile_kernels(state, images, hyper, **how) if hyper.shards == 1 else ()


def compile_kernels(
    state: State,
    images: Images,
    hyper: Hyperparameters,
    *,
    ops: Ops,
    run_steps: Callable[..., State],
) -> Iterator[float]:
    """Take two steps, to compile their kernels; yield the share done before each.

    They are an epoch's first step and its last one, whose batch may be short. Their
    results are discarded.
    """
    n, xp = images.labels.shape[0], ops.xp
    device, first = images.labels.device, images.first or 0
    order = xp.full(n, first, dtype=xp.int64, device=device)
    for share, step in (0.0, 0), (0.5, block_count(n, hyper.batch_size) - 1):
        yield share
        run_steps(state._replace(step=step), images, order, 1, hyper)


def run_steps(
    state: State,
    images: Images,
    order: Array,
    count: int,
    hyper: Hyperparameters,
    *,
    ops: Ops,
    cupy: Any,
    communicator: Communicator = ALONE,
) -> State:
    """Return the state after `count` steps; for 0, compile what steps need.

    communicator: of the processes that divide a batch's shards, through the hosts
    """
    if communicator.size > 1:
        ops = ops._replace(communicator=nccl.joined(communicator, cupy))
    plain = partial(steps.run_steps, ops=ops)
    if count == 0:
        compiling = compile_kernels(state, images, hyper, ops=ops, run_steps=plain)
        deque(compiling, maxlen=0)
    return plain(state, images, order, count, hyper)
