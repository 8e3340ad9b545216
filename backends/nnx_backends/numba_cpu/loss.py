"""The loss of a batch's images and its gradient; see `nnx.maths.losses`.

Each kernel sets this thread's rows of dz to the gradient of the batch's mean loss, and
sets its images' losses and scores. A batch's losses add up to its mean loss times the
number of its images.
"""

from typing import Any

import numpy as np

from nnx.maths.hyperparameters import Hyperparameters
from nnx_backends.numba_cpu.cache import inner_njit
from nnx_backends.numba_cpu.elementary import LOOP, exp, like
from nnx_backends.numba_cpu.kernel import Kernel
from nnx_backends.numba_cpu.records import IMAGES, matrix, of_block, of_units, vector
from nnx_backends.numba_cpu.team import partition


def _plain(run, layer, step, hyper):
    """Cross-entropy without label smoothing or weights."""
    labels = of_block(run, step, run.labels, 8, np.int64(0))
    correct = of_block(run, step, run.scores, 1, np.uint8(0))
    _plain_rows(_common(run, layer, step), labels, layer.outputs, step.whole, correct)


def _weighted(run, layer, step, hyper):
    """Cross-entropy with label smoothing, class weights and image weights."""
    labels = of_block(run, step, run.labels, 8, np.int64(0))
    correct = of_block(run, step, run.scores, 1, np.uint8(0))
    of_classes = vector(run.class_weights, layer.outputs, run.one)
    whole = vector(run.labels + 8 * step.first, step.whole, np.int64(0))
    total = _nonzero(_total_class_weight(whole, _whole_weights(run, step), of_classes))
    smoothing = like(hyper.label_smoothing, run.one)
    common, batch = _common(run, layer, step), (total, like(step.whole, run.one))
    _weighted_rows(common, labels, smoothing, of_classes, batch, correct)


def _binary(run, layer, step, hyper):
    """The cross-entropy of labels that are each 0 or 1."""
    common, batch = _common(run, layer, step), _batch_weight(run, step)
    correct = of_block(run, step, run.scores, 1, np.uint8(0))
    _binary_rows(common, _outputs(run, layer, step, run.labels), batch, correct)


def _squared(run, layer, step, hyper):
    """Half of the squared error."""
    _residuals(run, layer, step, like(np.inf, run.one))


def _huber(run, layer, step, hyper):
    """Half of the squared error, continued linearly beyond a residual of delta."""
    _residuals(run, layer, step, like(hyper.huber_delta, run.one))


def _poisson(run, layer, step, hyper):
    """Half of the Poisson deviance; the outputs are the logarithms of the rates."""
    common, batch = _common(run, layer, step), _batch_weight(run, step)
    targets = _outputs(run, layer, step, run.labels)
    _poisson_rows(common, targets, batch, _outputs(run, layer, step, run.scores))


def _logits(run, layer, step, hyper):
    """No loss; copy this thread's rows of the logits."""
    y, first = of_units(run, layer, layer.y), step.first + step.row
    logits = matrix(run.logits, run.images, layer.outputs, run.one)
    rows = partition(step.batch, IMAGES, step)
    for i in range(rows[0], rows[1]):
        for j in range(layer.outputs):
            logits[first + i, j] = y[i, j]


PLAIN, WEIGHTED, LOGITS = Kernel(_plain), Kernel(_weighted), Kernel(_logits)
KERNELS = {
    "cross_entropy": WEIGHTED,
    "binary_cross_entropy": Kernel(_binary),
    "squared_error": Kernel(_squared),
    "huber": Kernel(_huber),
    "poisson": Kernel(_poisson),
}


def kernel(hyper: Hyperparameters, *, weighted: bool) -> Kernel:
    """Return the kernel of a run's loss; weighted: whether images have weights."""
    unlike = weighted or hyper.label_smoothing > 0.0 or hyper.class_weights
    if hyper.loss == "cross_entropy" and not unlike:
        return PLAIN
    return KERNELS[hyper.loss]


@inner_njit()
def _common(run, layer, step):
    """Return z, dz, each image's weight and loss, and this thread's rows of a block."""
    z, dz = of_units(run, layer, layer.y), of_units(run, layer, layer.dz)
    weights = of_block(run, step, run.weights, run.itemsize, run.one)
    losses = of_block(run, step, run.losses, run.itemsize, run.one)
    return z, dz, weights, losses, partition(step.batch, IMAGES, step)


@inner_njit()
def _outputs(run, layer, step, address):
    """Return the block's part of targets or squared errors, (batch, outputs)."""
    first = (step.first + step.row) * layer.outputs
    return matrix(address + first * run.itemsize, step.batch, layer.outputs, run.one)


@inner_njit()
def _whole_weights(run, step):
    """Return the weights of the whole batch's images, (whole,)."""
    return vector(run.weights + step.first * run.itemsize, step.whole, run.one)


@inner_njit()
def _batch_weight(run, step):
    """Return the total weight of a batch's images, and their number."""
    total, weights = like(0.0, run.one), _whole_weights(run, step)
    for i in range(np.uint64(step.whole)):
        total += weights[i]
    return _nonzero(total), like(step.whole, run.one)


@inner_njit()
def _nonzero(total):
    """Return the total, or 1 in place of 0: images of no weight have no loss either."""
    return total if total > 0.0 else like(1.0, total)


@inner_njit()
def _residuals(run, layer, step, delta):
    """Set this thread's rows of dz, losses and squares from the residuals."""
    z, dz, weights, losses, rows = _common(run, layer, step)
    targets = _outputs(run, layer, step, run.labels)
    squares = _outputs(run, layer, step, run.scores)
    batch = _batch_weight(run, step)
    for i in range(np.uint64(rows[0]), np.uint64(rows[1])):
        loss = like(0.0, run.one)
        for j in range(np.uint64(layer.outputs)):
            residual = z[i, j] - targets[i, j]
            squares[i, j] = residual * residual
            bounded = min(max(residual, -delta), delta)
            # r²/2 up to delta, and delta (|r| - delta/2) beyond it.
            loss += bounded * (residual - like(0.5, run.one) * bounded)
            dz[i, j] = weights[i] * bounded / batch[0]
        losses[i] = weights[i] * loss * (batch[1] / batch[0])


@inner_njit(fastmath=LOOP, error_model="numpy")
def _plain_rows(common, labels, classes, whole, correct):
    """Set rows of dz to (softmax - one-hot) / whole, and their losses."""
    z, dz, _, losses, rows = common
    count, one = np.uint64(classes), like(1.0, z[0, 0])
    images = like(whole, one)
    for i in range(np.uint64(rows[0]), np.uint64(rows[1])):
        label = np.uint64(labels[i])
        norm, best = _softmax(z, i, count, dz)
        losses[i] = np.log(norm) + (z[i, best] - z[i, label])
        correct[i] = best == label
        scale = one / (norm * images)
        for j in range(count):
            dz[i, j] *= scale
        dz[i, label] -= one / images


@inner_njit(fastmath=LOOP, error_model="numpy")
def _weighted_rows(common, labels, smoothing, weights, batch, correct):
    """Do the same with label smoothing and weights.

    weights: of the classes
    batch: the total weight of its images, and their number
    """
    z, dz, of_images, losses, rows = common
    count, one = np.uint64(len(weights)), like(1.0, z[0, 0])
    spread = smoothing / like(len(weights), one)
    whole, images = batch
    everywhere = like(0.0, one)
    for j in range(count):
        everywhere += spread * weights[j]
    for i in range(np.uint64(rows[0]), np.uint64(rows[1])):
        label = np.uint64(labels[i])
        norm, best = _softmax(z, i, count, dz)
        own = (one - smoothing) * weights[label]
        weight, loss = own + everywhere, own * (z[i, best] - z[i, label])
        for j in range(count):
            loss += spread * weights[j] * (z[i, best] - z[i, j])
        share = of_images[i] / whole
        losses[i] = (weight * np.log(norm) + loss) * (images * share)
        correct[i] = best == label
        scale = weight / norm * share
        for j in range(count):
            dz[i, j] = dz[i, j] * scale - spread * weights[j] * share
        dz[i, label] -= own * share


@inner_njit(fastmath=LOOP, error_model="numpy")
def _binary_rows(common, targets, batch, correct):
    """Set rows of dz to weighted (sigmoid - targets), and their losses."""
    z, dz, weights, losses, rows = common
    one, zero = like(1.0, z[0, 0]), like(0.0, z[0, 0])
    whole, images = batch
    for i in range(np.uint64(rows[0]), np.uint64(rows[1])):
        loss, right, share = zero, True, weights[i] / whole
        for j in range(np.uint64(targets.shape[1])):
            logit, target = z[i, j], targets[i, j]
            small = exp(-abs(logit))
            loss += max(logit, zero) - target * logit + np.log1p(small)
            right = right and (logit > zero) == (target > like(0.5, one))
            above = one / (one + small)
            dz[i, j] = share * ((above if logit >= zero else one - above) - target)
        losses[i] = loss * (images * share)
        correct[i] = right


@inner_njit(fastmath=LOOP, error_model="numpy")
def _poisson_rows(common, targets, batch, squares):
    """Set rows of dz to weighted (rates - targets), and their losses."""
    z, dz, weights, losses, rows = common
    zero = like(0.0, z[0, 0])
    whole, images = batch
    for i in range(np.uint64(rows[0]), np.uint64(rows[1])):
        loss, share = zero, weights[i] / whole
        for j in range(np.uint64(targets.shape[1])):
            rate, target = exp(z[i, j]), targets[i, j]
            residual = rate - target
            loss += residual - target * z[i, j]
            if target > zero:
                loss += target * np.log(target)
            squares[i, j] = residual * residual
            dz[i, j] = share * residual
        losses[i] = loss * (images * share)


@inner_njit(fastmath=LOOP, error_model="numpy")
def _softmax(z, i, count, dz):
    """Set a row of dz to exp(z - max z); return their sum, and the maximum's index."""
    best: Any = np.uint64(0)
    for j in range(np.uint64(1), count):
        if z[i, j] > z[i, best]:
            best = j
    top_logit, norm = z[i, best], like(0.0, z[0, 0])
    for j in range(count):
        dz[i, j] = exp(z[i, j] - top_logit)
    for j in range(count):
        norm += dz[i, j]
    return norm, best


@inner_njit(error_model="numpy")
def _total_class_weight(labels, of_images, of_classes):
    """Return the total weight of images, each by its own and its class's weight."""
    total = like(0.0, of_classes[0])
    for i in range(np.uint64(len(labels))):
        total += of_images[i] * of_classes[labels[i]]
    return total
