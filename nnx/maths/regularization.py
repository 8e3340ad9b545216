"""What keeps weights small: L1 and L2 penalties, and a bound on each unit's weights.

Penalties are over weights and not over biases. They are part of what is minimized, and
no part of the loss that is reported.
"""

from nnx.maths.kernels import Array, Namespace


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


def max_norm(weight: Array, most: float, *, xp: Namespace) -> Array:
    """Return the weight, each unit's made shorter where their norm is above most.

    Source: Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, "Dropout", JMLR
    15, 2014.

    weight: (in_features, out_features), a column for each unit
    """
    norm = xp.sqrt(xp.sum(weight * weight, axis=0))
    return weight * (most / xp.maximum(norm, most))
