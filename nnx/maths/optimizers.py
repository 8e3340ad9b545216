"""How gradients change parameters: SGD with momentum, Nesterov's, Adam, RMSprop.

An optimizer's state is a tuple of arrays shaped like the parameter, initially zero.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from nnx.maths.arrays import Array, Namespace
from nnx.maths.hyperparameters import Hyperparameters

Arrays: TypeAlias = tuple[Array, ...]


class Optimizer(NamedTuple):
    """An update rule.

    arrays: number of arrays in the state of one parameter
    direction: called as direction(gradient, state, hyper, xp) with the hyperparameters
        of this step; returns the direction and the new state. `update` subtracts the
        learning rate times the direction, and may overwrite the direction, so it must
        not be an array of the state
    corrects: whether it uses the step's mean_correction and square_correction
    """

    arrays: int
    direction: Callable[
        [Array, Sequence[Array], Hyperparameters, Namespace], tuple[Array, Arrays]
    ]
    corrects: bool = False


def update(parameter: Array, direction: Array, learning_rate: float) -> Array:
    """Return the parameter after a step; both arrays have the same shape.

    A backend's replacement may store the result in the direction's memory.
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
    """Return the velocity, which is also the state.

    Source: Polyak, "Some methods of speeding up the convergence of iteration methods",
    1964; here the velocity does not include the learning rate.
    """
    velocity = hyper.momentum * state[0] + gradient
    return 1.0 * velocity, (velocity,)


def nesterov(
    gradient: Array, state: Sequence[Array], hyper: Hyperparameters, xp: Namespace
) -> tuple[Array, Arrays]:
    """Return the gradient plus momentum times the new velocity, which is the state.

    Source: Sutskever, Martens, Dahl and Hinton, "On the importance of initialization
    and momentum in deep learning", ICML 2013; the velocity is that of `momentum`.
    """
    velocity = hyper.momentum * state[0] + gradient
    return gradient + hyper.momentum * velocity, (velocity,)


def adam(
    gradient: Array, state: Sequence[Array], hyper: Hyperparameters, xp: Namespace
) -> tuple[Array, Arrays]:
    """Return the mean gradient over its root mean square; both averages are the state.

    Source: Kingma and Ba, arXiv:1412.6980.
    """
    mean = hyper.momentum * state[0] + (1.0 - hyper.momentum) * gradient
    square = hyper.beta2 * state[1] + (1.0 - hyper.beta2) * (gradient * gradient)
    root = xp.sqrt(hyper.square_correction * square) + hyper.epsilon
    return hyper.mean_correction * mean / root, (mean, square)


def rmsprop(
    gradient: Array, state: Sequence[Array], hyper: Hyperparameters, xp: Namespace
) -> tuple[Array, Arrays]:
    """Return the velocity of the gradient divided by its root mean square.

    Source: Tieleman and Hinton, "Neural networks for machine learning", lecture 6.5,
    2012, with momentum. The state is the mean square and the velocity.
    """
    square = hyper.beta2 * state[0] + (1.0 - hyper.beta2) * (gradient * gradient)
    root = xp.sqrt(square) + hyper.epsilon
    velocity = hyper.momentum * state[1] + gradient / root
    return 1.0 * velocity, (square, velocity)


OPTIMIZERS = {
    "sgd": Optimizer(0, sgd),
    "momentum": Optimizer(1, momentum),
    "nesterov": Optimizer(1, nesterov),
    "adam": Optimizer(2, adam, corrects=True),
    "rmsprop": Optimizer(2, rmsprop),
}
