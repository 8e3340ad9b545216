"""Stochastic gradient descent, and L2 regularization.

The penalty is l2/2 · Σ weight², over weights and not over biases; it is part of
what is minimized, and no part of the loss that is reported.
"""

from nnx.maths.kernels import Array, Namespace


def update(parameter: Array, gradient: Array, learning_rate: float) -> Array:
    """Return the parameter one step downhill; all arrays have one shape.

    A backend's own form may use the gradient's memory for what it returns.
    """
    return parameter - learning_rate * gradient


def l2_penalty(weight: Array, l2: float, *, xp: Namespace) -> Array:
    """Return l2/2 · Σ weight², a scalar; weight has any shape."""
    return 0.5 * l2 * xp.sum(weight * weight)


def l2_backward(dweight: Array, weight: Array, l2: float) -> Array:
    """Return dweight with the penalty's gradient added; shaped like weight."""
    return dweight + l2 * weight
