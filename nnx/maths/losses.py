"""Losses and their gradients, with the outputs and the score that belong to each.

A loss takes logits: the outputs of the last layer, which has no activation.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from nnx.maths.activations import identity, sigmoid
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

    Each row's largest logit is subtracted first, so that no finite logit overflows.
    Without class weights, the gradient is softmax(logits) minus the targets.

    logits: (batch, classes)
    labels: (batch,), integers in [0, classes)
    label_smoothing: the share of a target that is spread evenly over all classes
        (Szegedy et al., arXiv:1512.00567)
    class_weights: the weight of each class's part of the loss; empty: 1 each
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

    The loss of a label is log(1 + exp(z)) - t z, written so that no finite logit
    overflows. The gradient is sigmoid(logits) minus the targets.

    logits, targets: (batch, labels); targets in [0, 1]
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

    The loss is half the squared residual up to delta and linear beyond it, so the
    gradient of an outlier is bounded (Huber, "Robust estimation of a location
    parameter", Annals of Mathematical Statistics 35, 1964).

    outputs, targets: (batch, outputs)
    huber_delta: the residual beyond which the loss is linear, in the targets' unit
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
    """Return half of each sample's Poisson deviance over all outputs, and its gradient.

    A logit z is the logarithm of a rate. The loss of an output is exp(z) - t z, plus a
    term of the target alone that makes it 0 where exp(z) = t. The gradient is rates
    minus targets.

    logits, targets: (batch, outputs); targets 0 or more
    returns: losses (batch,), dlogits (batch, outputs)
    """
    rates = xp.exp(logits)
    positive = xp.astype(targets > 0.0, targets.dtype)
    own = targets * xp.log(targets + (1.0 - positive)) - targets
    return xp.sum(rates - targets * logits + own, axis=1), rates - targets


def softmax(logits: Array, *, xp: Namespace) -> Array:
    """Return the probability of each class; rows sum to one.

    logits: (batch, classes)
    returns: (batch, classes), in [0, 1]
    """
    exps = xp.exp(logits - xp.max(logits, axis=1, keepdims=True))
    return exps / xp.sum(exps, axis=1, keepdims=True)


def rates(logits: Array, *, xp: Namespace) -> Array:
    """Return exp(z) for each logit z; both (batch, outputs)."""
    return xp.exp(logits)


def correct(logits: Array, labels: Array, *, xp: Namespace) -> Array:
    """Return in how many rows the largest logit is the label's.

    logits: (batch, classes)
    labels: (batch,), integers in [0, classes)
    returns: (), an integer
    """
    return xp.count_nonzero(xp.argmax(logits, axis=1) == labels)


def all_correct(logits: Array, targets: Array, *, xp: Namespace) -> Array:
    """Return in how many rows all labels are predicted on the right side of 0.5.

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
    """Return each output's sum of squared residuals of the rates, (outputs,).

    logits, targets: (batch, outputs)
    """
    return squared_errors(xp.exp(logits), targets, xp=xp)


class Loss(NamedTuple):
    """A loss with its outputs and its score.

    per_sample: from logits and targets, each sample's loss (batch,) and dlogits
    outputs: from logits, what a user sees: probabilities, or values
    score: from logits and targets, what a batch adds to the epoch's score: the number
        of correct rows, or each output's sum of squared errors
    options: the hyperparameters that `per_sample` takes
    of_classes: whether a target is the number of a class, (batch,); otherwise it has a
        number for each output, (batch, outputs)
    counts: whether the score is a count; otherwise it is a sum of squared errors
    """

    per_sample: Callable[..., tuple[Array, Array]]
    outputs: Callable[..., Array]
    score: Callable[..., Array]
    options: tuple[str, ...] = ()
    of_classes: bool = False
    counts: bool = True


LOSSES = {
    "cross_entropy": Loss(
        cross_entropy,
        softmax,
        correct,
        ("label_smoothing", "class_weights"),
        of_classes=True,
    ),
    "binary_cross_entropy": Loss(binary_cross_entropy, sigmoid, all_correct),
    "squared_error": Loss(squared_error, identity, squared_errors, counts=False),
    "huber": Loss(huber, identity, squared_errors, ("huber_delta",), counts=False),
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
    """Return the total weight of a batch's samples, the divisor of its mean loss.

    The weight of a sample is multiplied by that of its class. If the total is 0, so is
    the batch's loss, and the divisor is 1.

    targets: (batch,) class numbers, or (batch, outputs)
    weights: (batch,), of samples; None: 1 each
    """
    classes = hyper.class_weights if LOSSES[hyper.loss].of_classes else ()
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
    """Return a batch's weighted mean loss, ().

    Arguments as for `per_sample` and `total_weight`.
    """
    of_samples, _ = per_sample(logits, targets, hyper, xp=xp)
    total = total_weight(targets, weights, hyper, like=logits, xp=xp)
    return xp.sum(of_samples if weights is None else of_samples * weights) / total
