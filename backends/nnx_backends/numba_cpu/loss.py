"""The loss of a batch's images and its gradient; see `nnx.maths.losses`."""

from typing import Any

import numpy as np
from numba import njit

from nnx_backends.numba_cpu.activations import LOOP
from nnx_backends.numba_cpu.elementary import exp, like


@njit(nogil=True)
def cross_entropy(logits, labels, index, rows, smoothing, options, dlogits):
    """Set rows of dlogits to the gradient of the batch's mean loss.

    logits, dlogits: (at least batch, at least classes)
    labels: (n,) int64, all images'; index: (batch,), the batch's images
    rows: this thread's, first and last + 1
    options: a `steps.Options`
    returns: the rows' loss, such that the batch's is its mean times its images, and how
        many of them were classified rightly
    """
    if options.plain_loss:
        return _plain(logits, labels, index, rows, len(options.class_weights), dlogits)
    real, weights = like(smoothing, logits[0, 0]), options.class_weights
    return _weighted(logits, labels, index, rows, real, weights, dlogits)


@njit(nogil=True, fastmath=LOOP, error_model="numpy")
def _plain(z, labels, index, rows, classes, dz):
    """Set rows of dz to (softmax - one-hot) / batch."""
    total, correct, one = like(0.0, z[0, 0]), 0, like(1.0, z[0, 0])
    count = np.uint64(classes)
    images = like(len(index), one)
    for i in range(np.uint64(rows[0]), np.uint64(rows[1])):
        label = np.uint64(labels[index[i]])
        norm, best = _softmax(z, i, count, dz)
        total += np.log(norm) + (z[i, best] - z[i, label])
        correct += best == label
        scale = one / (norm * images)
        for j in range(count):
            dz[i, j] *= scale
        dz[i, label] -= one / images
    return total, correct


@njit(nogil=True, fastmath=LOOP, error_model="numpy")
def _weighted(z, labels, index, rows, smoothing, weights, dz):
    """Do the same for smoothed labels of classes that count differently."""
    total, correct, one = like(0.0, z[0, 0]), 0, like(1.0, z[0, 0])
    count = np.uint64(len(weights))
    spread = smoothing / like(len(weights), one)
    whole = _total_weight(labels, index, weights)
    everywhere = like(0.0, one)
    for j in range(count):
        everywhere += spread * weights[j]
    for i in range(np.uint64(rows[0]), np.uint64(rows[1])):
        label = np.uint64(labels[index[i]])
        norm, best = _softmax(z, i, count, dz)
        own = (one - smoothing) * weights[label]
        each, loss = own + everywhere, own * (z[i, best] - z[i, label])
        for j in range(count):
            loss += spread * weights[j] * (z[i, best] - z[i, j])
        total += each * np.log(norm) + loss
        correct += best == label
        scale = each / (norm * whole)
        for j in range(count):
            dz[i, j] = dz[i, j] * scale - spread * weights[j] / whole
        dz[i, label] -= own / whole
    return total * (like(len(index), one) / whole), correct


@njit(nogil=True, fastmath=LOOP, error_model="numpy")
def _softmax(z, i, count, dz):
    """Set a row of dz to exp(z - best); return their sum, and which is the best."""
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


@njit(nogil=True, error_model="numpy")
def _total_weight(labels, index, weights):
    """Return what the batch's images count together."""
    total = like(0.0, weights[0])
    for i in range(np.uint64(len(index))):
        total += weights[labels[index[i]]]
    return total
