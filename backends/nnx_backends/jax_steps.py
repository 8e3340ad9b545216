"""Many training steps as one function that JAX compiles."""

from typing import Any

import jax
from jax import lax
from jax import numpy as jnp

from nnx.maths.kernels import Kernels
from nnx.maths.optimizers import Rates
from nnx.maths.steps import Epoch, Images, Recipe, State, step


def run_steps(
    state: State,
    images: Images,
    epoch: Epoch,
    first: int,
    last: int,
    recipe: Recipe,
    kernels: Kernels,
) -> State:
    """Return the state after the steps; like `nnx.maths.steps.run_steps`.

    Whole batches are one call, and a short last one another. Asked for no steps, it
    compiles both and changes nothing.
    """
    n, size = epoch.order.shape[0], recipe.batch_size
    whole, short = divmod(n, size)
    real = state.layers[0].weight.dtype
    state = state._replace(
        loss_sum=jnp.asarray(state.loss_sum, real),
        hits=jnp.asarray(state.hits, jnp.int64),
    )
    rates = jnp.asarray(epoch.rates, real)
    traced = Epoch(epoch.order, rates, jnp.asarray(epoch.begin, jnp.int64))
    for width, begin, end in (
        (size if whole else 0, first, min(last, whole)),
        (short, max(first, whole), last),
    ):
        if width and (begin < end or first == last):
            state = _steps(state, images, traced, begin, end, recipe, width, kernels)
    return state


def _loop(
    state: State,
    images: Images,
    epoch: Epoch,
    begin: Any,
    end: Any,
    recipe: Recipe,
    width: int,
    kernels: Kernels,
) -> State:
    """Return the state after the steps begin … end - 1, each of `width` images.

    begin, end and the epoch are traced: other spans and rates need nothing to be
    compiled anew. So it is a loop, as a scan has its length compiled in. The state is
    not donated: whoever called may go on from it again.
    """
    rates: Any = epoch.rates

    def body(i: Any, state: State) -> State:
        index = lax.dynamic_slice_in_dim(epoch.order, i * recipe.batch_size, width)
        now = Rates(*(rates[i, k] for k in range(len(Rates._fields))))
        return step(state, images, index, now, epoch.begin + i, recipe, kernels)

    reached: State = lax.fori_loop(begin, end, body, state)
    return reached


_steps = jax.jit(_loop, static_argnames=("recipe", "width", "kernels"))
