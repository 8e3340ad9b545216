"""How gradients change parameters: SGD with momentum, Nesterov's, Adam, RMSprop.

An optimizer's state is arrays shaped like the parameter, all zero at first.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from nnx.maths.arrays import Array, Namespace
from nnx.maths.hyperparameters import Hyperparameters

Arrays: TypeAlias = tuple[Array, ...]


class Optimizer(NamedTuple):
    """How many arrays its state has, and how a gradient gives a direction.

    direction(gradient, state, hyper, xp) returns the direction, which the learning rate
    is multiplied by and which is taken off the parameter, and the state then. hyper:
    of this step. The direction is no array of the state: `update` may write over it
    """

    arrays: int
    direction: Callable[
        [Array, Sequence[Array], Hyperparameters, Namespace], tuple[Array, Arrays]
    ]


def update(parameter: Array, direction: Array, learning_rate: float) -> Array:
    """Return the parameter one step downhill; all arrays have one shape.

    What a backend has in its place may use the direction's memory for that.
    """
    return parameter - learning_rate * direction


def sgd(
    gradient: Array, state: Sequence[Array], hyper: Hyperparameters, xp: Namespace
) -> tuple[Array, Arrays]:
    """Return the gradient."""
    return gradient, ()


def momentum(
    gradient: Array, state: Sequence[Array], hyper: Hyperparameters, xp: Namespace
) -> tuple[Array, Arrays]:
    """Return the velocity, which is the state.

    Source: Polyak, "Some methods of speeding up the convergence of iteration methods",
    1964. The velocity is not yet multiplied by the learning rate.
    """
    velocity = hyper.momentum * state[0] + gradient
    return 1.0 * velocity, (velocity,)


def nesterov(
    gradient: Array, state: Sequence[Array], hyper: Hyperparameters, xp: Namespace
) -> tuple[Array, Arrays]:
    """Return the gradient with the velocity that it leads to, which is the state.

    Source: Sutskever, Martens, Dahl and Hinton, "On the importance of initialization
    and momentum in deep learning", ICML 2013, with the velocity as above.
    """
    velocity = hyper.momentum * state[0] + gradient
    return gradient + hyper.momentum * velocity, (velocity,)


def adam(
    gradient: Array, state: Sequence[Array], hyper: Hyperparameters, xp: Namespace
) -> tuple[Array, Arrays]:
    """Return the mean gradient over its root mean square; both means are the state.

    Source: Kingma and Ba, arXiv:1412.6980.
    """
    mean = hyper.momentum * state[0] + (1.0 - hyper.momentum) * gradient
    square = hyper.beta2 * state[1] + (1.0 - hyper.beta2) * (gradient * gradient)
    root = xp.sqrt(hyper.square_correction * square) + hyper.epsilon
    return hyper.mean_correction * mean / root, (mean, square)


def rmsprop(
    gradient: Array, state: Sequence[Array], hyper: Hyperparameters, xp: Namespace
) -> tuple[Array, Arrays]:
    """Return the velocity of the gradient over its root mean square.

    Source: Tieleman and Hinton, "Neural networks for machine learning", lecture 6.5,
    2012, with momentum; the state is the mean square and the velocity.
    """
    square = hyper.beta2 * state[0] + (1.0 - hyper.beta2) * (gradient * gradient)
    root = xp.sqrt(square) + hyper.epsilon
    velocity = hyper.momentum * state[1] + gradient / root
    return 1.0 * velocity, (square, velocity)


OPTIMIZERS = {
    "sgd": Optimizer(0, sgd),
    "momentum": Optimizer(1, momentum),
    "nesterov": Optimizer(1, nesterov),
    "adam": Optimizer(2, adam),
    "rmsprop": Optimizer(2, rmsprop),
}
