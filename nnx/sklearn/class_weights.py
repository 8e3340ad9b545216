"""Weights of classes, as weights of samples."""

from typing import Any

import numpy as np
from sklearn.utils.class_weight import compute_sample_weight

from nnx.maths.arrays import Array


def sample_weights(class_weight: Any, y: Array, known: Array | None) -> Array:
    """Return the weight of each sample by its class, (n,).

    y: (n,), or (n, labels), of 0 and 1
    known: all classes, where y is a part of the data and may lack some; None: those
        in y

    Raises:
        ValueError: class_weight does not fit the classes; a weight is negative or not
            finite, or all of them are 0
    """
    n = len(y)
    if known is not None:
        every_class = known if y.ndim == 1 else np.tile([[0], [1]], y.shape[1])
        y = np.concatenate([every_class, y])
    weights = compute_sample_weight(class_weight, y)
    if not np.all((weights >= 0.0) & np.isfinite(weights)):
        raise ValueError(
            f"class_weight must be finite and at least 0, got {class_weight}."
        )
    if not weights.any():
        raise ValueError(
            f"class_weight must be above 0 for some class, got {class_weight}."
        )
    return weights[-n:]
