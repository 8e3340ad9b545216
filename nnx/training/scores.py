"""How good outputs are: the share that is right, or R² of a regression."""

from collections.abc import Sequence

import numpy as np

from nnx.data.dataset import Array, Split, Target
from nnx.maths.losses import LOSSES
from nnx.training.log import METRICS


def metric(loss: str) -> str:
    """Return what the score of a loss is, of `log.METRICS`."""
    return METRICS[0] if LOSSES[loss].counts else METRICS[1]


def variation(split: Split, task: str) -> Array | None:
    """Return each target's sum of squares about its mean, (targets,); None of classes.

    Above 0, or NaN: where a target is the same in all rows, R² has no meaning, and is
    0, or 1 if the network predicts it, as in scikit-learn.
    """
    if task != "regression":
        return None
    return about_mean(np.asarray(split.labels, np.float64))


def about_mean(values: Array) -> Array:
    """Return each column's sum of squares about its mean; NaN where all are the same.

    values: (n, targets)
    """
    squares = np.sum((values - values.mean(axis=0)) ** 2, axis=0)
    # A mean is rounded: that of the same number three times may be another number.
    return np.where(values.min(axis=0) < values.max(axis=0), squares, np.nan)


def score(score_sum: Array, images: int, whole: Array | None, of: int) -> float:
    """Return the accuracy in [0, 1], or R², which is 1 at best, the targets' mean.

    score_sum: of so many images, as in `maths.state.State`
    whole: `variation` of all of them, of which there are `of`
    """
    if whole is None:
        return float(score_sum) / images
    errors = np.asarray(score_sum, np.float64) * (of / images)
    return float(np.mean(r2(errors, whole)))


def r2(errors: Array, whole: Array) -> Array:
    """Return each target's R², (targets,), which is 1 at best.

    errors: (targets,), sums of squared errors; whole: as from `variation`
    """
    constant = np.where(errors > 0.0, 0.0, 1.0)
    return np.where(np.isnan(whole), constant, 1.0 - errors / whole)


def rmse(errors: Array, images: int, targets: Sequence[Target]) -> Array:
    """Return the root of each target's mean squared error, in its own unit.

    errors: (targets,), sums of squared errors, of so many images
    """
    scales = np.array([target.scale for target in targets])
    return np.sqrt(np.asarray(errors, np.float64) / images) * scales
