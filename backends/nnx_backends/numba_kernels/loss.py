"""The loss of a batch's images and its gradient; see `nnx.maths.losses`."""

from typing import Any

import numpy as np
from numba import njit

from nnx_backends.numba_kernels.activations import LOOP
from nnx_backends.numba_kernels.elementary import exp, like


@njit(nogil=True, error_model="numpy")
def _total_weight(labels: Any, index: Any, weights: Any) -> Any:
    """Return what the batch's images count together."""
    total = like(0.0, weights[0])
    for i in range(np.uint64(len(index))):
        total += weights[labels[index[i]]]
    return total


@njit(nogil=True, fastmath=LOOP, error_model="numpy")
def _softmax(z: Any, i: Any, count: Any, dz: Any) -> Any:
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


@njit(nogil=True, fastmath=LOOP, error_model="numpy")
def _plain(
    z: Any, labels: Any, index: Any, classes: int, top: int, bottom: int, dz: Any
) -> Any:
    """Set rows of dz to (softmax - one-hot) / batch; return summed loss and hits.

    z, dz: (batch, classes)
    """
    total, hits, one = like(0.0, z[0, 0]), 0, like(1.0, z[0, 0])
    count = np.uint64(classes)
    images = like(len(index), one)
    for i in range(np.uint64(top), np.uint64(bottom)):
        label = np.uint64(labels[index[i]])
        norm, best = _softmax(z, i, count, dz)
        total += np.log(norm) + (z[i, best] - z[i, label])
        hits += best == label
        scale = one / (norm * images)
        for j in range(count):
            dz[i, j] *= scale
        dz[i, label] -= one / images
    return total, hits


@njit(nogil=True, fastmath=LOOP, error_model="numpy")
def _weighted(
    z: Any, labels: Any, index: Any, classes: int, top: int, bottom: int, dz: Any,
    smoothing: Any, weights: Any,
) -> Any:  # fmt: skip
    """Do the same for smoothed labels of classes that count differently.

    The loss is such that it is summed to the batch's mean times its images.

    weights: (classes,)
    """
    total, hits, one = like(0.0, z[0, 0]), 0, like(1.0, z[0, 0])
    count = np.uint64(classes)
    spread = smoothing / like(classes, one)
    whole = _total_weight(labels, index, weights)
    everywhere = like(0.0, one)
    for j in range(count):
        everywhere += spread * weights[j]
    for i in range(np.uint64(top), np.uint64(bottom)):
        label = np.uint64(labels[index[i]])
        norm, best = _softmax(z, i, count, dz)
        own = (one - smoothing) * weights[label]
        each, loss = own + everywhere, own * (z[i, best] - z[i, label])
        for j in range(count):
            loss += spread * weights[j] * (z[i, best] - z[i, j])
        total += each * np.log(norm) + loss
        hits += best == label
        scale = each / (norm * whole)
        for j in range(count):
            dz[i, j] = dz[i, j] * scale - spread * weights[j] / whole
        dz[i, label] -= own / whole
    return total * (like(len(index), one) / whole), hits


@njit(nogil=True)
def either(
    z: Any, labels: Any, index: Any, classes: int, top: int, bottom: int, dz: Any,
    is_plain: bool, smoothing: Any, weights: Any,
) -> Any:  # fmt: skip
    """Do the one or the other."""
    if is_plain:
        return _plain(z, labels, index, classes, top, bottom, dz)
    return _weighted(z, labels, index, classes, top, bottom, dz, smoothing, weights)
