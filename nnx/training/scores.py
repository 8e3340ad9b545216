"""Scores of outputs: accuracy, or R² for a regression."""

import math
from collections.abc import Sequence

import numpy as np

from nnx.data.arrays import near_one
from nnx.data.dataset import Array, Column, Split, Target
from nnx.maths.losses import LOSSES
from nnx.training.log import METRIC_NAMES, METRICS

# Errors divided by a smaller sum of squares could overflow.
SMALLEST = 1e-200


def samples(columns: Sequence[Column]) -> str:
    """Return what samples are called: rows of a table's columns, or else images."""
    return "rows" if columns else "images"


def percent(fraction: float | None) -> str:
    """Return 0.9812 as 98.12 %, and – for None or NaN."""
    if fraction is None or math.isnan(fraction):
        return "–"
    return f"{100 * fraction:.2f} %"


def in_words(score: float, metric: str) -> str:
    """Return a score after its metric's name: "accuracy 98.12 %" or "R² 0.9812"."""
    return f"{METRIC_NAMES[metric]} {score_text(score, metric)}"


def score_text(score: float, metric: str) -> str:
    """Return an accuracy in percent, or an R² with four decimals."""
    return percent(score) if metric == "accuracy" else f"{score:.4f}"


def quantity(value: float) -> str:
    """Return a number with four significant digits, or all before the point."""
    if value and not 1e-4 <= abs(value) < 1e9:
        return f"{value:.3e}"
    before = math.floor(math.log10(abs(value))) + 1 if value else 1
    return f"{value:,.{max(0, 4 - before)}f}"


def metric(loss: str) -> str:
    """Return the metric of a loss's score, one of `log.METRICS`."""
    return METRICS[0] if LOSSES[loss].counts else METRICS[1]


def variation(split: Split, task: str) -> Array | None:
    """Return each target's sum of squares about its mean, (targets,).

    It is above 0, or NaN for a target that is the same in all rows. The R² of such a
    target is undefined: it is set to 1 if the network predicts it exactly, otherwise to
    0, as in scikit-learn. None if the task is not a regression.
    """
    if task != "regression":
        return None
    return about_mean(np.asarray(split.labels, np.float64))


def about_mean(values: Array) -> Array:
    """Return each column's sum of squares about its mean; NaN for a constant column.

    A column with a sum below `SMALLEST` counts as constant.

    values: (n, targets)
    """
    squares = np.sum((values - values.mean(axis=0)) ** 2, axis=0)
    # Means are rounded: the mean of three equal numbers may differ from them.
    varies = (values.min(axis=0) < values.max(axis=0)) & (squares >= SMALLEST)
    return np.where(varies, squares, np.nan)


def score(score_sum: Array, images: int, whole: Array | None, of: int) -> float:
    """Return the accuracy in [0, 1], or the mean R² of the targets, which is at most 1.

    score_sum: the sum over `images` images, as in `maths.state.State`
    whole: `variation` of all images of the set; None for accuracy
    of: the number of images of the set
    """
    if whole is None:
        return float(score_sum) / images
    errors = np.asarray(score_sum, np.float64) * (of / images)
    return float(np.mean(r2(errors, whole)))


def r2(errors: Array, whole: Array) -> Array:
    """Return each target's R², (targets,), which is 1 at best.

    errors: (targets,), sums of squared errors
    whole: from `variation`
    """
    constant = np.where(errors > 0.0, 0.0, 1.0)
    return np.where(np.isnan(whole), constant, 1.0 - errors / whole)


def r2_of(true: Array, predicted: Array) -> Array:
    """Return each target's R², (targets,), for values in any unit.

    true, predicted: (n, targets)
    """
    about, power = near_one(true - true.mean(axis=0))
    errors = np.sum(np.ldexp(predicted - true, -power) ** 2, axis=0)
    return r2(errors, about_mean(about))


def rmse(errors: Array, images: int, targets: Sequence[Target]) -> Array:
    """Return each target's root mean squared error, (targets,), in the target's unit.

    errors: (targets,), sums of squared errors over `images` images
    """
    scales = np.array([target.scale for target in targets])
    return np.sqrt(np.asarray(errors, np.float64) / images) * scales
