"""Many training steps as one function that JAX compiles."""

from typing import Any

import jax
from jax import lax
from jax import numpy as jnp

from nnx.maths.kernels import Array, Kernels
from nnx.maths.steps import Images, Recipe, State, step


def run_steps(
    state: State,
    images: Images,
    order: Array,
    first: int,
    last: int,
    recipe: Recipe,
    kernels: Kernels,
) -> State:
    """Return the state after the steps; like `nnx.maths.steps.run_steps`.

    Whole batches are one call, and a short last one another. Asked for no steps, it
    compiles both and changes nothing.
    """
    n, size = order.shape[0], recipe.batch_size
    whole, short = divmod(n, size)
    real = state.layers[0].weight.dtype
    sums = jnp.asarray(state.loss_sum, real), jnp.asarray(state.hits, jnp.int64)
    state = State(state.layers, *sums)
    floats = recipe.scale, recipe.learning_rate
    fixed = recipe._replace(scale=0.0, learning_rate=0.0)
    for width, begin, end in (
        (size if whole else 0, first, min(last, whole)),
        (short, max(first, whole), last),
    ):
        if width and (begin < end or first == last):
            state = _steps(
                state, images, order, begin, end, floats, fixed, width, kernels
            )
    return state


def _loop(
    state: State,
    images: Images,
    order: Array,
    begin: Any,
    end: Any,
    floats: Any,
    fixed: Recipe,
    width: int,
    kernels: Kernels,
) -> State:
    """Return the state after the steps begin … end - 1, each of `width` images.

    begin, end and floats are traced: other spans, learning rates and scales need
    nothing to be compiled anew. So it is a loop, as a scan has its length compiled in.
    The state is not donated: whoever called may go on from it again.
    """
    scale, learning_rate = floats
    recipe = fixed._replace(scale=scale, learning_rate=learning_rate)

    def body(i: Any, state: State) -> State:
        index = lax.dynamic_slice_in_dim(order, i * recipe.batch_size, width)
        return step(state, images, index, recipe, kernels)

    reached: State = lax.fori_loop(begin, end, body, state)
    return reached


_steps = jax.jit(_loop, static_argnames=("fixed", "width", "kernels"))
