"""The loss of logits against integer labels, and the penalty on weights."""

from nnx.maths.kernels import Array, Namespace


def cross_entropy(
    logits: Array, labels: Array, *, xp: Namespace
) -> tuple[Array, Array]:
    """Return the mean loss in nats, and its gradient with respect to logits.

    The largest logit of each row is taken off first, so that no finite logit
    overflows. The gradient is softmax(logits) minus the one-hot labels.

    logits: (batch, classes)
    labels: (batch,), integers in [0, classes)
    returns: loss (), dlogits (batch, classes)
    """
    batch, classes = logits.shape
    shifted = logits - xp.max(logits, axis=1, keepdims=True)
    exps = xp.exp(shifted)
    norm = xp.sum(exps, axis=1, keepdims=True)
    # An array that is only being traced, to be compiled, is on no device yet.
    place = getattr(labels, "device", None)
    columns = xp.arange(classes, dtype=labels.dtype, device=place)
    hot = xp.astype(labels[:, None] == columns[None, :], logits.dtype)
    losses = xp.log(norm)[:, 0] - xp.vecdot(hot, shifted)
    return xp.sum(losses) / batch, (exps / norm - hot) / batch


def softmax(logits: Array, *, xp: Namespace) -> Array:
    """Return the probability of each class; rows sum to one.

    logits: (batch, classes)
    returns: (batch, classes), in [0, 1]
    """
    exps = xp.exp(logits - xp.max(logits, axis=1, keepdims=True))
    return exps / xp.sum(exps, axis=1, keepdims=True)


def hits(logits: Array, labels: Array, *, xp: Namespace) -> Array:
    """Return how many rows have their largest logit at the label.

    logits: (batch, classes)
    labels: (batch,), integers in [0, classes)
    returns: (), an integer
    """
    return xp.count_nonzero(xp.argmax(logits, axis=1) == labels)
