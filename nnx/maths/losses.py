"""What training minimizes: each loss with its gradient, and what it makes of outputs.

A loss is given logits: what the last layer, which has no activation, gives.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from nnx.maths.activations import sigmoid
from nnx.maths.arrays import Array, Namespace, device_of


def cross_entropy(
    logits: Array,
    labels: Array,
    *,
    label_smoothing: float = 0.0,
    class_weights: Sequence[float] = (),
    xp: Namespace,
) -> tuple[Array, Array]:
    """Return each sample's loss in nats, and its gradient with respect to logits.

    The largest logit of each row is taken off first, so that no finite logit
    overflows. The gradient is softmax(logits) minus the targets.

    logits: (batch, classes)
    labels: (batch,), integers in [0, classes)
    label_smoothing: the share of a target that is spread over all classes alike
        (Szegedy et al., arXiv:1512.00567)
    class_weights: what each class's part of the loss counts; empty: 1
    returns: losses (batch,), dlogits (batch, classes)
    """
    shifted = logits - xp.max(logits, axis=1, keepdims=True)
    exps = xp.exp(shifted)
    norm = xp.sum(exps, axis=1, keepdims=True)
    classes, device = logits.shape[1], device_of(labels)
    columns = xp.arange(classes, dtype=labels.dtype, device=device)
    targets = xp.astype(labels[:, None] == columns[None, :], logits.dtype)
    if label_smoothing > 0.0:
        targets = (1.0 - label_smoothing) * targets + label_smoothing / classes
    if not class_weights:
        losses = xp.log(norm)[:, 0] - xp.vecdot(targets, shifted)
        return losses, exps / norm - targets
    targets = targets * xp.asarray(class_weights, dtype=logits.dtype, device=device)
    whole = xp.sum(targets, axis=1)
    losses = whole * xp.log(norm)[:, 0] - xp.vecdot(targets, shifted)
    return losses, whole[:, None] * (exps / norm) - targets


def binary_cross_entropy(
    logits: Array, targets: Array, *, xp: Namespace
) -> tuple[Array, Array]:
    """Return each sample's loss in nats, summed over its labels, and its gradient.

    log(1 + exp(z)) - t z, written so that no finite logit overflows. The gradient is
    sigmoid(logits) minus the targets.

    logits, targets: (batch, labels); targets 0 or 1, or between
    returns: losses (batch,), dlogits (batch, labels)
    """
    small = xp.exp(-xp.abs(logits))  # in (0, 1]
    above = xp.maximum(logits, 0.0)
    losses = xp.sum(above - targets * logits + xp.log1p(small), axis=1)
    return losses, sigmoid(logits, xp=xp) - targets


def squared_error(
    outputs: Array, targets: Array, *, xp: Namespace
) -> tuple[Array, Array]:
    """Return half of each sample's squared error, over all outputs, and its gradient.

    outputs, targets: (batch, outputs)
    returns: losses (batch,), doutputs (batch, outputs)
    """
    residuals = outputs - targets
    return 0.5 * xp.vecdot(residuals, residuals), residuals


def huber(
    outputs: Array, targets: Array, *, huber_delta: float, xp: Namespace
) -> tuple[Array, Array]:
    """Return each sample's Huber loss, summed over outputs, and its gradient.

    Half of the squared residual up to delta, and straight on beyond it, so that
    outliers pull no harder (Huber, "Robust estimation of a location parameter",
    Annals of Mathematical Statistics 35, 1964).

    outputs, targets: (batch, outputs)
    huber_delta: the residual from which it is straight, in the targets' unit
    returns: losses (batch,), doutputs (batch, outputs)
    """
    residuals, delta = outputs - targets, huber_delta
    size = xp.abs(residuals)
    beyond = size > delta
    straight = delta * (size - 0.5 * delta)
    losses = xp.where(beyond, straight, 0.5 * residuals * residuals)
    return xp.sum(losses, axis=1), xp.where(
        beyond, delta * xp.sign(residuals), residuals
    )


def poisson(logits: Array, targets: Array, *, xp: Namespace) -> tuple[Array, Array]:
    """Return half of each sample's Poisson deviance, and its gradient.

    Over all outputs; a logit is the logarithm of a rate, exp(z) - t z and what of the
    target alone makes it 0 where they are alike. The gradient is rates minus targets.

    logits, targets: (batch, outputs); targets 0 or more
    returns: losses (batch,), dlogits (batch, outputs)
    """
    rates = xp.exp(logits)
    some = xp.astype(targets > 0.0, targets.dtype)
    own = targets * xp.log(targets + (1.0 - some)) - targets
    return xp.sum(rates - targets * logits + own, axis=1), rates - targets


def softmax(logits: Array, *, xp: Namespace) -> Array:
    """Return the probability of each class; rows sum to one.

    logits: (batch, classes)
    returns: (batch, classes), in [0, 1]
    """
    exps = xp.exp(logits - xp.max(logits, axis=1, keepdims=True))
    return exps / xp.sum(exps, axis=1, keepdims=True)


def rates(logits: Array, *, xp: Namespace) -> Array:
    """Return exp(z) of each logit, both (batch, outputs)."""
    return xp.exp(logits)


def _identity(outputs: Array, *, xp: Namespace) -> Array:
    return outputs


def correct(logits: Array, labels: Array, *, xp: Namespace) -> Array:
    """Return how many rows have their largest logit at the label.

    logits: (batch, classes)
    labels: (batch,), integers in [0, classes)
    returns: (), an integer
    """
    return xp.count_nonzero(xp.argmax(logits, axis=1) == labels)


def all_correct(logits: Array, targets: Array, *, xp: Namespace) -> Array:
    """Return how many rows have all their labels on the right side of 0.5.

    logits, targets: (batch, labels)
    returns: (), an integer
    """
    right = (logits > 0.0) == (targets > 0.5)
    return xp.count_nonzero(xp.all(right, axis=1))


def squared_errors(outputs: Array, targets: Array, *, xp: Namespace) -> Array:
    """Return each output's sum of squared residuals, (outputs,).

    outputs, targets: (batch, outputs)
    """
    residuals = outputs - targets
    return xp.sum(residuals * residuals, axis=0)


def rate_errors(logits: Array, targets: Array, *, xp: Namespace) -> Array:
    """Return each output's sum of squared residuals of its rates, (outputs,).

    logits, targets: (batch, outputs)
    """
    return squared_errors(xp.exp(logits), targets, xp=xp)


class Loss(NamedTuple):
    """A loss, and what belongs to it.

    per_sample: logits and targets to each sample's loss (batch,) and dlogits
    outputs: logits to what a user is told: probabilities, or values
    score: logits and targets to a sum that a batch adds to the epoch's: how many are
        right, or squared errors of each output
    options: the hyperparameters that `per_sample` takes
    counts: whether the score is a count, and not errors
    """

    per_sample: Callable[..., tuple[Array, Array]]
    outputs: Callable[..., Array]
    score: Callable[..., Array]
    options: tuple[str, ...] = ()
    counts: bool = True


LOSSES = {
    "cross_entropy": Loss(
        cross_entropy, softmax, correct, ("label_smoothing", "class_weights")
    ),
    "binary_cross_entropy": Loss(binary_cross_entropy, sigmoid, all_correct),
    "squared_error": Loss(squared_error, _identity, squared_errors, counts=False),
    "huber": Loss(huber, _identity, squared_errors, ("huber_delta",), counts=False),
    "poisson": Loss(poisson, rates, rate_errors, counts=False),
}


def per_sample(
    logits: Array, targets: Array, hyper: Any, *, xp: Namespace
) -> tuple[Array, Array]:
    """Return each sample's loss, (batch,), and its gradient, shaped like logits.

    targets: (batch,) class numbers, or (batch, outputs)
    hyper: the `Hyperparameters` with the loss's name and options
    """
    loss = LOSSES[hyper.loss]
    options = {name: getattr(hyper, name) for name in loss.options}
    return loss.per_sample(logits, targets, **options, xp=xp)


def total_weight(
    targets: Array, weights: Array | None, hyper: Any, *, like: Array, xp: Namespace
) -> Array | float:
    """Return what a batch's samples count together, what its mean loss is over.

    A sample counts its weight, times that of its class; where all of a batch count
    nothing, so does its loss, and this is 1.

    targets: (batch,) class numbers, or (batch, outputs)
    weights: (batch,), of samples; None: 1 each
    """
    classes = hyper.class_weights if hyper.loss == "cross_entropy" else ()
    if weights is None and not classes:
        return float(targets.shape[0])
    if classes:
        device = device_of(targets)
        of_class = xp.asarray(classes, dtype=like.dtype, device=device)
        own = xp.take(of_class, targets, axis=0)
        weights = own if weights is None else weights * own
    total = xp.sum(weights)
    return xp.where(total > 0.0, total, xp.ones_like(total))


def mean_loss(
    logits: Array,
    targets: Array,
    hyper: Any,
    weights: Array | None = None,
    *,
    xp: Namespace,
) -> Array:
    """Return a batch's mean loss, (), over what its samples count.

    Arguments as for `per_sample` and `total_weight`
    """
    each, _ = per_sample(logits, targets, hyper, xp=xp)
    total = total_weight(targets, weights, hyper, like=logits, xp=xp)
    return xp.sum(each if weights is None else each * weights) / total
