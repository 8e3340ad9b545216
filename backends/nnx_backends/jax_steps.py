"""Many training steps as one function that JAX compiles."""

from functools import partial
from typing import Any

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from nnx.maths import schedules
from nnx.maths.arrays import Array
from nnx.maths.blocks import block_count
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.ops import Ops
from nnx.maths.state import Images, State
from nnx.maths.steps import step

# What a step's schedules give. It is traced, so that other numbers need nothing to be
# compiled anew; the rest of the hyperparameters is compiled in.
TRACED = (
    "learning_rate", "momentum", "ema_decay", "mean_correction", "square_correction",
    "epsilon",
)  # fmt: skip


def run_steps(
    state: State,
    images: Images,
    order: Array,
    count: int,
    hyper: Hyperparameters,
    ops: Ops,
) -> State:
    """Return the state after so many steps; like `nnx.maths.steps.run_steps`.

    Whole batches are one call, and a short last one another. Asked for no steps, it
    compiles both and changes nothing.
    """
    n, size = order.shape[0], hyper.batch_size
    per_epoch, (whole, short) = block_count(n, size), divmod(n, size)
    first = state.step % per_epoch
    numbers = _numbers(state, count, hyper, per_epoch)
    zeros: dict[str, Any] = dict.fromkeys(TRACED, 0.0)
    fixed = hyper._replace(**zeros)
    last, reached = first + count, state.step + count
    # On the device, as a loop's results are: another place is compiled for anew.
    whole_numbers = partial(jnp.asarray, dtype=jnp.int64, device=order.device)
    state = state._replace(
        step=whole_numbers(state.step),
        score_sum=jnp.asarray(state.score_sum, device=order.device),
    )
    for width, begin, end in (
        (size if whole else 0, first, min(last, whole)),
        (short, max(first, whole), last),
    ):
        if width and (begin < end or count == 0):
            state = _loop(state, images, order, numbers, begin, end, fixed, width, ops)
    return state._replace(step=reached)


def _numbers(state: State, count: int, hyper: Hyperparameters, per_epoch: int) -> Array:
    """Return what the schedules give, (steps of an epoch, numbers).

    Of the steps asked for alone; its shape is an epoch's, so that nothing has to be
    compiled for another count.
    """
    first = state.step % per_epoch
    numbers = np.zeros((per_epoch, len(TRACED)))
    for i, now in enumerate(schedules.at_steps(hyper, state.step, count, per_epoch)):
        numbers[first + i] = [getattr(now, name) for name in TRACED]
    return jnp.asarray(numbers, state.layers[0].weight.dtype)


@partial(jax.jit, static_argnames=("hyper", "width", "ops"))
def _loop(
    state: State,
    images: Images,
    order: Array,
    numbers: Array,
    begin: Any,
    end: Any,
    hyper: Hyperparameters,
    width: int,
    ops: Ops,
) -> State:
    """Return the state after the epoch's batches begin … end - 1, `width` images each.

    begin and end are traced: so it is a loop, as a scan has its length compiled in. The
    state is not donated: whoever called may go on from it again.
    """

    def body(i: Any, state: State) -> State:
        index = lax.dynamic_slice_in_dim(order, i * hyper.batch_size, width)
        now: dict[str, Any] = {name: numbers[i, k] for k, name in enumerate(TRACED)}
        return step(state, images, index, hyper._replace(**now), ops)

    reached: State = lax.fori_loop(begin, end, body, state)
    return reached
