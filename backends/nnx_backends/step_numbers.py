"""The hyperparameters of many steps in one array, for backends that take many."""

from collections.abc import Sequence

import numpy as np

from nnx.maths.arrays import Array
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.schedules import varying_numbers


def step_numbers(
    hyper: Hyperparameters,
    names: Sequence[str],
    first: int,
    count: int,
    steps_per_epoch: int,
) -> Array:
    """Return each step's hyperparameters, (steps, names) in float64.

    If none varies, there is one row, for all steps.

    names: which hyperparameters; first: number of the first step in the run
    """
    varying = varying_numbers(hyper, first, count, steps_per_epoch)
    row = [getattr(hyper, name) for name in names]
    numbers = np.tile(np.array(row, np.float64), (count if varying else 1, 1))
    for column, name in enumerate(names):
        if name in varying:
            numbers[:, column] = varying[name]
    return numbers
