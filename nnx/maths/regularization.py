"""L1 and L2 penalties, and bounds on the norms of weights and gradients.

Penalties apply to weights, not to biases. They are minimized together with the loss,
but the reported loss does not include them.
"""

from nnx.maths.arrays import Array, Namespace, map_arrays, named_arrays
from nnx.maths.state import Parameters


def penalty(weight: Array, l1: float, l2: float, *, xp: Namespace) -> Array:
    """Return l1 · Σ |weight| + l2/2 · Σ weight², a scalar; weight has any shape."""
    return l1 * xp.sum(xp.abs(weight)) + 0.5 * l2 * xp.sum(weight * weight)


def penalty_backward(
    dweight: Array, weight: Array, l1: float, l2: float, *, xp: Namespace
) -> Array:
    """Return dweight with the penalty's gradient added; shaped like weight.

    The slope of |weight| at 0 is taken as 0.
    """
    if l2 > 0.0:
        dweight = dweight + l2 * weight
    if l1 > 0.0:
        dweight = dweight + l1 * xp.sign(weight)
    return dweight


def max_norm(weight: Array, bound: float, *, xp: Namespace) -> Array:
    """Return the weight; units whose norm is above the bound are scaled down to it.

    Source: Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, "Dropout", JMLR
    15, 2014.

    weight: (in_features, out_features), one column per unit
    """
    norm = xp.sqrt(xp.sum(weight * weight, axis=0))
    return weight * (bound / xp.maximum(norm, bound))


def clip_norm(gradients: Parameters, bound: float, *, xp: Namespace) -> Parameters:
    """Return the gradients, scaled down if their joint norm is above the bound.

    Source: Pascanu, Mikolov and Bengio, arXiv:1211.5063.
    """
    squares = [xp.sum(array * array) for _, array in named_arrays(gradients, "")]
    norm = xp.sqrt(sum(squares))
    scale = bound / xp.maximum(norm, bound)
    clipped: Parameters = map_arrays(lambda array: scale * array, gradients)
    return clipped
