"""The loss of a batch's images and its gradient; see `nnx.maths.losses`.

Each kernel sets this thread's rows of dz to the gradient of the batch's mean loss, and
its images' losses, whose sum is the batch's mean times its images.
"""

from typing import Any

import numpy as np

from nnx_backends.numba_cpu.cache import inner_njit
from nnx_backends.numba_cpu.elementary import LOOP, exp, like
from nnx_backends.numba_cpu.kernel import Kernel
from nnx_backends.numba_cpu.records import IMAGES, matrix, of_block, of_units, vector
from nnx_backends.numba_cpu.team import partition


def _plain(run, layer, step, hyper):
    """The loss without smoothing or class weights."""
    z, dz = of_units(run, layer, layer.y), of_units(run, layer, layer.dz)
    labels = of_block(run, step, run.labels, 8, np.int64(0))
    losses = of_block(run, step, run.losses, run.itemsize, run.one)
    correct = of_block(run, step, run.correct, 1, np.uint8(0))
    rows = partition(step.batch, IMAGES, step)
    _plain_rows(z, labels, rows, layer.outputs, step.whole, dz, losses, correct)


def _weighted(run, layer, step, hyper):
    """The loss with smoothed labels, of classes that count differently."""
    z, dz = of_units(run, layer, layer.y), of_units(run, layer, layer.dz)
    labels = of_block(run, step, run.labels, 8, np.int64(0))
    losses = of_block(run, step, run.losses, run.itemsize, run.one)
    correct = of_block(run, step, run.correct, 1, np.uint8(0))
    weights = vector(run.class_weights, layer.outputs, run.one)
    whole = vector(run.labels + 8 * step.first, step.whole, np.int64(0))
    total, count = _total_weight(whole, weights), like(step.whole, run.one)
    smoothing = like(hyper.label_smoothing, run.one)
    rows = partition(step.batch, IMAGES, step)
    _weighted_rows(
        z, labels, rows, smoothing, weights, (total, count), dz, losses, correct
    )


def _logits(run, layer, step, hyper):
    """No loss: this thread's rows of the logits are copied."""
    y, first = of_units(run, layer, layer.y), step.first + step.row
    logits = matrix(run.logits, run.images, layer.outputs, run.one)
    rows = partition(step.batch, IMAGES, step)
    for i in range(rows[0], rows[1]):
        for j in range(layer.outputs):
            logits[first + i, j] = y[i, j]


PLAIN, WEIGHTED, LOGITS = Kernel(_plain), Kernel(_weighted), Kernel(_logits)


@inner_njit(fastmath=LOOP, error_model="numpy")
def _plain_rows(z, labels, rows, classes, whole, dz, losses, correct):
    """Set rows of dz to (softmax - one-hot) / whole, and their losses."""
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
def _weighted_rows(z, labels, rows, smoothing, weights, batch, dz, losses, correct):
    """Do the same; batch: what its images count together, and how many they are."""
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
        each, loss = own + everywhere, own * (z[i, best] - z[i, label])
        for j in range(count):
            loss += spread * weights[j] * (z[i, best] - z[i, j])
        losses[i] = (each * np.log(norm) + loss) * (images / whole)
        correct[i] = best == label
        scale = each / (norm * whole)
        for j in range(count):
            dz[i, j] = dz[i, j] * scale - spread * weights[j] / whole
        dz[i, label] -= own / whole


@inner_njit(fastmath=LOOP, error_model="numpy")
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


@inner_njit(error_model="numpy")
def _total_weight(labels, weights):
    """Return what images count together."""
    total = like(0.0, weights[0])
    for i in range(np.uint64(len(labels))):
        total += weights[labels[i]]
    return total
