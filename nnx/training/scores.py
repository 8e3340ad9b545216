"""How good outputs are: the share that is right, or R² of a regression."""

import numpy as np

from nnx.data.dataset import Array, Split


def variation(split: Split, task: str) -> Array | None:
    """Return each target's sum of squares about its mean, (targets,); None of classes.

    Always above 0: where a target is the same in all rows, R² has no meaning, and is
    0, or 1 if the network predicts it, as in scikit-learn.
    """
    if task != "regression":
        return None
    values = np.asarray(split.labels, np.float64)
    squares = np.sum((values - values.mean(axis=0)) ** 2, axis=0)
    return np.where(squares > 0.0, squares, np.nan)


def score(score_sum: Array, images: int, whole: Array | None, of: int) -> float:
    """Return the accuracy in [0, 1], or R², which is 1 at best, the targets' mean.

    score_sum: of so many images, as in `maths.state.State`
    whole: `variation` of all of them, of which there are `of`
    """
    if whole is None:
        return float(score_sum) / images
    errors = np.asarray(score_sum, np.float64) * (of / images)
    constant = np.where(errors > 0.0, 0.0, 1.0)
    each = np.where(np.isnan(whole), constant, 1.0 - errors / whole)
    return float(np.mean(each))
