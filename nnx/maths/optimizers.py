"""How gradients change parameters: SGD with momentum, Nesterov's, Adam, RMSprop.

An optimizer remembers arrays shaped like the parameter, its slots, all zero at first.
What may change from step to step, `Rates`, is worked out before the steps are run.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from nnx.maths import regularization
from nnx.maths.kernels import Array, Kernels, Namespace
from nnx.maths.network import Trained

EPSILON = 1e-8  # added to the root of the mean square


class Rates(NamedTuple):
    """The numbers of one step.

    learning_rate: what the direction of the step is multiplied by
    momentum: how much of the velocity is kept; Adam's β₁
    mean_scale, square_scale: what Adam's two averages are multiplied by, as they begin
        at 0: 1 / (1 - β₁ᵗ) and 1 / (1 - β₂ᵗ) in step t = 1, 2, …, where β₁ᵗ is the
        product of all β₁ so far if they differ
    averaging: how much of the weights' moving average is kept
    """

    learning_rate: float
    momentum: float = 0.0
    mean_scale: float = 1.0
    square_scale: float = 1.0
    averaging: float = 0.0


class Optimizer(NamedTuple):
    """How many slots a parameter has, and how they and a gradient give a direction.

    It is called as direction(gradient, slots, rates, beta2, xp=xp), and returns an
    array of its own with the slots as they are then.
    """

    slots: int
    direction: Callable[..., tuple[Array, tuple[Array, ...]]]


def update(parameter: Array, direction: Array, learning_rate: float) -> Array:
    """Return the parameter one step downhill; all arrays have one shape.

    A backend's own form may use the direction's memory for what it returns.
    """
    return parameter - learning_rate * direction


def sgd(
    gradient: Array,
    slots: tuple[Array, ...],
    rates: Rates,
    beta2: float,
    *,
    xp: Namespace,
) -> tuple[Array, tuple[Array, ...]]:
    """Return the gradient."""
    return gradient, slots


def momentum(
    gradient: Array,
    slots: tuple[Array, ...],
    rates: Rates,
    beta2: float,
    *,
    xp: Namespace,
) -> tuple[Array, tuple[Array, ...]]:
    """Return the velocity, and it as the slot.

    Source: Polyak, "Some methods of speeding up the convergence of iteration methods",
    1964. The velocity is not yet multiplied by the learning rate.
    """
    velocity = rates.momentum * slots[0] + gradient
    return 1.0 * velocity, (velocity,)


def nesterov(
    gradient: Array,
    slots: tuple[Array, ...],
    rates: Rates,
    beta2: float,
    *,
    xp: Namespace,
) -> tuple[Array, tuple[Array, ...]]:
    """Return the gradient with the velocity that it leads to, which is the slot.

    Source: Sutskever, Martens, Dahl and Hinton, "On the importance of initialization
    and momentum in deep learning", ICML 2013, with the
    velocity as above.
    """
    velocity = rates.momentum * slots[0] + gradient
    return gradient + rates.momentum * velocity, (velocity,)


def adam(
    gradient: Array,
    slots: tuple[Array, ...],
    rates: Rates,
    beta2: float,
    *,
    xp: Namespace,
) -> tuple[Array, tuple[Array, ...]]:
    """Return the mean gradient over its root mean square; both means are slots.

    Source: Kingma and Ba, arXiv:1412.6980.
    """
    mean = rates.momentum * slots[0] + (1.0 - rates.momentum) * gradient
    square = beta2 * slots[1] + (1.0 - beta2) * (gradient * gradient)
    root = xp.sqrt(rates.square_scale * square) + EPSILON
    return rates.mean_scale * mean / root, (mean, square)


def rmsprop(
    gradient: Array,
    slots: tuple[Array, ...],
    rates: Rates,
    beta2: float,
    *,
    xp: Namespace,
) -> tuple[Array, tuple[Array, ...]]:
    """Return the velocity of the gradient over its root mean square.

    Source: Tieleman and Hinton, "Neural networks for machine learning", lecture 6.5,
    2012, with momentum; the slots are the mean square and the velocity.
    """
    square = beta2 * slots[0] + (1.0 - beta2) * (gradient * gradient)
    velocity = rates.momentum * slots[1] + gradient / (xp.sqrt(square) + EPSILON)
    return 1.0 * velocity, (square, velocity)


OPTIMIZERS = {
    "sgd": Optimizer(0, sgd),
    "momentum": Optimizer(1, momentum),
    "nesterov": Optimizer(1, nesterov),
    "adam": Optimizer(2, adam),
    "rmsprop": Optimizer(2, rmsprop),
}


def updated(
    layers: Trained,
    gradients: Trained,
    slots: tuple[Trained, ...],
    rates: Rates,
    recipe: Any,
    kernels: Kernels,
) -> tuple[Trained, tuple[Trained, ...]]:
    """Return the layers and the slots after a step.

    Weights, and no biases, decay before it (Loshchilov and Hutter, arXiv:1711.05101)
    and are bounded after it.

    gradients: in the layers' form; slots: each in the layers' form
    recipe: a `nnx.maths.steps.Recipe`
    """
    direction = OPTIMIZERS[recipe.optimizer].direction
    found, kept = [], []
    for layer, gradient, *old in zip(layers, gradients, *slots, strict=True):
        if recipe.weight_decay > 0.0:
            keep = 1.0 - rates.learning_rate * recipe.weight_decay
            layer = layer._replace(weight=keep * layer.weight)
        arrays, new = [], []
        for parameter, slope, *slot in zip(layer, gradient, *old, strict=True):
            step, kept_slot = direction(slope, slot, rates, recipe.beta2, xp=kernels.xp)
            arrays.append(kernels.update(parameter, step, rates.learning_rate))
            new.append(kept_slot)
        layer = type(layer)(*arrays)
        if recipe.max_norm > 0.0:
            bounded = regularization.max_norm(
                layer.weight, recipe.max_norm, xp=kernels.xp
            )
            layer = layer._replace(weight=bounded)
        found.append(layer)
        kept.append([type(layer)(*arrays) for arrays in zip(*new, strict=True)])
    return found, tuple(list(each) for each in zip(*kept, strict=True))


def clipped(gradients: Trained, most: float, *, xp: Namespace) -> Trained:
    """Return the gradients, made smaller where their norm, all as one, is above most.

    Source: Pascanu, Mikolov and Bengio, arXiv:1211.5063.
    """
    total = sum(xp.sum(array * array) for layer in gradients for array in layer)
    norm = xp.sqrt(total)
    scale = most / xp.maximum(norm, most)
    return [type(layer)(*(scale * array for array in layer)) for layer in gradients]


def averaged(averages: Trained, layers: Trained, rates: Rates) -> Trained:
    """Return the moving average of the layers, one step on.

    Source: Polyak and Juditsky, "Acceleration of stochastic approximation by
    averaging", 1992, with weights that fall exponentially.
    """
    keep = rates.averaging
    return [
        type(layer)(
            *(keep * a + (1.0 - keep) * b for a, b in zip(old, layer, strict=True))
        )
        for old, layer in zip(averages, layers, strict=True)
    ]
