"""Many training steps as one function that JAX compiles."""

from functools import partial
from typing import Any

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from nnx.maths.arrays import Array
from nnx.maths.blocks import block_count
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.ops import Ops
from nnx.maths.state import Images, State
from nnx.maths.steps import step
from nnx_backends.step_numbers import step_numbers

# The numbers that schedules set for a step. They are traced, so that new values need no
# recompilation; all other hyperparameters are compiled in.
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
    """Return the state after `count` steps; like `nnx.maths.steps.run_steps`.

    One call takes the steps with whole batches, another one the step with a short last
    batch. For a count of 0, both are compiled and nothing changes.
    """
    n, size = order.shape[0], hyper.batch_size
    per_epoch, (whole, short) = block_count(n, size), divmod(n, size)
    first = state.step % per_epoch
    numbers = _numbers(state, count, hyper, per_epoch)
    zeros: dict[str, Any] = dict.fromkeys(TRACED, 0.0)
    fixed = hyper._replace(**zeros)
    last, reached = first + count, state.step + count
    # On the device, like a loop's results: for another place, JAX would compile again.
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
    """Return the schedules' numbers, (steps per epoch, numbers).

    Only the rows of the steps asked for are set. The shape is always an epoch's, so
    that another count needs no recompilation.
    """
    first = state.step % per_epoch
    numbers = np.zeros((per_epoch, len(TRACED)))
    own = step_numbers(hyper, TRACED, state.step, count, per_epoch)
    numbers[first : first + count] = own
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

    begin and end are traced, and so this is a loop: a scan's length would be compiled
    in. The state is not donated, because the caller may start from it again.
    """

    def body(i: Any, state: State) -> State:
        index = lax.dynamic_slice_in_dim(order, i * hyper.batch_size, width)
        now: dict[str, Any] = {name: numbers[i, k] for k, name in enumerate(TRACED)}
        return step(state, images, index, hyper._replace(**now), ops)

    reached: State = lax.fori_loop(begin, end, body, state)
    return reached
