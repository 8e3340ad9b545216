"""The loss of logits against integer labels."""

from collections.abc import Sequence

from nnx.maths.arrays import Array, Namespace, device_of


def cross_entropy(
    logits: Array,
    labels: Array,
    *,
    smoothing: float = 0.0,
    class_weights: Sequence[float] = (),
    xp: Namespace,
) -> tuple[Array, Array]:
    """Return the mean loss in nats, and its gradient with respect to logits.

    The largest logit of each row is taken off first, so that no finite logit
    overflows. The gradient is softmax(logits) minus the targets.

    logits: (batch, classes)
    labels: (batch,), integers in [0, classes)
    smoothing: the share of a target that is spread over all classes alike (Szegedy et
        al., arXiv:1512.00567)
    class_weights: what each class counts; the mean is over the labels' weights. None:
        each image counts alike
    returns: loss (), dlogits (batch, classes)
    """
    shifted = logits - xp.max(logits, axis=1, keepdims=True)
    exps = xp.exp(shifted)
    norm = xp.sum(exps, axis=1, keepdims=True)
    targets, each, total = _targets(labels, logits, smoothing, class_weights, xp=xp)
    losses = each * xp.log(norm)[:, 0] - xp.vecdot(targets, shifted)
    slopes = exps / norm if not class_weights else each[:, None] * (exps / norm)
    return xp.sum(losses) / total, (slopes - targets) / total


def _targets(
    labels: Array,
    logits: Array,
    smoothing: float,
    class_weights: Sequence[float],
    *,
    xp: Namespace,
) -> tuple[Array, Array, Array]:
    """Return what probabilities should be, each row's sum, and the batch's weight."""
    batch, classes = logits.shape
    device = device_of(labels)
    columns = xp.arange(classes, dtype=labels.dtype, device=device)
    targets = xp.astype(labels[:, None] == columns[None, :], logits.dtype)
    if smoothing > 0.0:
        targets = (1.0 - smoothing) * targets + smoothing / classes
    if not class_weights:
        return targets, 1.0, batch
    weights = xp.asarray(class_weights, dtype=logits.dtype, device=device)
    targets = targets * weights
    return targets, xp.sum(targets, axis=1), xp.sum(xp.take(weights, labels, axis=0))


def weight_fraction(
    labels: Array,
    of: Array,
    class_weights: Sequence[float],
    *,
    like: Array,
    xp: Namespace,
) -> Array | float:
    """Return which fraction of a batch's weight some of its images have.

    labels, of: some images' labels, and the whole batch's
    """
    if not class_weights:
        return labels.shape[0] / of.shape[0]
    device = device_of(labels)
    weights = xp.asarray(class_weights, dtype=like.dtype, device=device)
    part, whole = (xp.sum(xp.take(weights, each, axis=0)) for each in (labels, of))
    return part / whole


def softmax(logits: Array, *, xp: Namespace) -> Array:
    """Return the probability of each class; rows sum to one.

    logits: (batch, classes)
    returns: (batch, classes), in [0, 1]
    """
    exps = xp.exp(logits - xp.max(logits, axis=1, keepdims=True))
    return exps / xp.sum(exps, axis=1, keepdims=True)


def correct(logits: Array, labels: Array, *, xp: Namespace) -> Array:
    """Return how many rows have their largest logit at the label.

    logits: (batch, classes)
    labels: (batch,), integers in [0, classes)
    returns: (), an integer
    """
    return xp.count_nonzero(xp.argmax(logits, axis=1) == labels)
