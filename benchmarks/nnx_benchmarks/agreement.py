"""How far an implementation is from the same steps in float64 with NumPy.

It is measured on the trainer that is then timed. As implementations draw dropout
differently, a workload with dropout is compared on a trainer without it. The loss is
the one that the trainer reports for a first batch. For plain SGD, gradients are read
off a step: with a learning rate of 2²⁰, the new weights are the gradients times -2²⁰,
to the last place but one. For a recipe, the weights after a few steps on that batch are
compared.
"""

from typing import NamedTuple

import numpy as np

from nnx.backend import find
from nnx.data.dataset import Array, Split
from nnx.maths import random
from nnx.maths.arrays import map_arrays
from nnx.maths.blocks import block_count
from nnx.maths.state import Layers
from nnx.verify import rounding
from nnx.verify.compare import BOUNDS, errors
from nnx.verify.kinks import is_smooth
from nnx_benchmarks import data
from nnx_benchmarks.nnx_run import NnxTrainer
from nnx_benchmarks.report import Row
from nnx_benchmarks.trainer import Implementation, Trainer
from nnx_benchmarks.workloads import Problem, Workload, initial_layers

STEPS, FEW = 100, 3
BATCHES, ORDERS = 4, 3  # candidates for the first batch, and orders of their images
READING_RATE = 2.0**20
# The multiple of NumPy's own error in float32 that others may reach, and the error that
# all may have after 100 steps: training amplifies rounding, more or less by network.
LEEWAY, FREE = 10, 1e-4
CLIPPED = 1e-6  # PyTorch adds this to the norm by which it divides the gradients
FINER = float(np.finfo(np.float64).eps / np.finfo(np.float32).eps)


class Reference(NamedTuple):
    """The results of the steps in float64.

    index: of the images in the first batch, none of which is near a kink
    loss: of that batch, at the initial weights
    first: the layers after the first step, or a recipe's first few
    trained: the layers after 100 steps
    rounding: the errors of NumPy in float32, of `first` in the worst of some orders of
        the images, and of `trained`
    bfloat16: the same if the factors of its products are rounded to bfloat16
    """

    index: Array
    loss: float
    first: Layers
    trained: Layers
    rounding: tuple[float, float] = (0.0, 0.0)
    bfloat16: tuple[float, float] = (0.0, 0.0)


class Agreement(NamedTuple):
    """The largest relative errors, and what is wrong with them, if anything.

    first: of the loss and every gradient of one batch, or of its loss and a recipe's
        weights after a few steps on it, float32
    float64: the same in float64; None if the implementation has no float64
    after_100: of the weights after 100 steps, float32
    """

    first: float | None = None
    float64: float | None = None
    after_100: float | None = None
    wrong: str = ""

    def as_row(self) -> Row:
        """Return the fields by their names in a row of a report."""
        return {
            "max_relative_error": self.first,
            "max_relative_error_float64": self.float64,
            "parameters_error_after_100_steps": self.after_100,
            "no_speed_because": self.wrong or None,
        }


def reference(problem: Problem, *, bfloat16: bool = False) -> Reference:
    """Return a workload's results in float64, from the same float32 weights.

    After a step, a hidden unit may be at relu's kink, where the last digit decides. Of
    several batches, the one is taken on which NumPy in float32 is closest to float64.

    bfloat16: whether any implementation rounds factors to bfloat16
    """
    problem = problem._replace(workload=problem.workload.without_draws)
    layers = initial_layers(problem.workload)
    exact, single = (NnxTrainer(problem, find("numpy")) for _ in range(2))
    wide = map_arrays(np.float64, layers)
    batches = range(BATCHES if problem.workload.options else 1)
    begun = [_begun(exact, problem.workload, wide, i) for i in batches]
    early = [_largest_first_error(single, problem.workload, layers, b) for b in begun]
    expected = begun[int(np.argmin(early))]
    expected = expected._replace(trained=_after_steps(exact, problem, wide))
    late = largest_error(_after_steps(single, problem, layers), expected.trained)
    expected = expected._replace(rounding=(min(early), late))
    if not bfloat16:
        return expected
    trainer = NnxTrainer(problem, rounding.reference())
    return expected._replace(bfloat16=_errors(trainer, problem, layers, expected))


def _begun(
    trainer: NnxTrainer, workload: Workload, layers: Layers, number: int
) -> Reference:
    """Return the results of the first steps on a batch without images near a kink."""
    size, n = trainer.hyper.batch_size, len(trainer.images.labels)
    order = random.permutation(n, seed=0, epoch=number, xp=np)[: 2 * size]
    trainer.load(layers)
    smooth = is_smooth(trainer.state, trainer.images, order, trainer.hyper)
    index = order[smooth][:size]
    return Reference(index, *_first(trainer, workload, layers, index), [])


def _largest_first_error(
    trainer: Trainer, workload: Workload, layers: Layers, expected: Reference
) -> float:
    """Return the largest error of the first steps over some orders of a batch's images.

    Each order rounds other last digits.
    """
    size = len(expected.index)
    orders = (random.permutation(size, seed=0, epoch=i, xp=np) for i in range(ORDERS))
    return max(
        first_error(
            trainer, workload, layers, expected._replace(index=expected.index[order])
        )
        for order in orders
    )


def check(
    implementation: Implementation, problem: Problem, expected: Reference
) -> tuple[Agreement, Trainer | None]:
    """Return how well an implementation agrees, and a trainer to time if it does."""
    compared = problem._replace(workload=problem.workload.without_draws)
    layers = initial_layers(compared.workload)
    try:
        trainer = implementation.prepare(compared)
        first, after = _errors(trainer, compared, layers, expected)
        double = float64_error(implementation, compared, expected)
        if compared.workload != problem.workload:
            trainer = implementation.prepare(problem)
    except Exception as error:
        # Whatever a library raises, the others are still measured.
        words = (str(error).strip() or type(error).__name__).splitlines()[0]
        return Agreement(wrong=f"failed: {words}"), None
    usual = expected.bfloat16 if implementation.bfloat16 else expected.rounding
    early, late = (LEEWAY * error for error in usual)
    what = "weights after the first steps" if problem.workload.options else "gradients"
    fine = max(BOUNDS["float64"], FINER * early)
    fine = max(fine, CLIPPED) if compared.workload.hyper.clip_norm else fine
    wrong = (
        _beyond(f"loss and {what}", first, max(BOUNDS["float32"], early))
        or _beyond(f"weights after {STEPS} steps", after, max(FREE, late))
        or _beyond(f"float64 loss and {what}", double, fine)
    )
    return Agreement(first, double, after, wrong), None if wrong else trainer


def _errors(
    trainer: Trainer, problem: Problem, layers: Layers, expected: Reference
) -> tuple[float, float]:
    """Return the largest errors of the first steps, and of the weights after 100."""
    return (
        first_error(trainer, problem.workload, layers, expected),
        largest_error(_after_steps(trainer, problem, layers), expected.trained),
    )


def first_error(
    trainer: Trainer, workload: Workload, layers: Layers, expected: Reference
) -> float:
    """Return the largest error of the first batch's loss and the first steps."""
    loss, first = _first(trainer, workload, layers, expected.index)
    off = abs(loss - expected.loss) / expected.loss
    return max(off, largest_error(first, expected.first))


def float64_error(
    implementation: Implementation, problem: Problem, expected: Reference
) -> float | None:
    """Return `first_error` in float64, on a trainer with the first batch's images only.

    It is None if the implementation has no float64.

    problem: without random draws
    """
    if "float64" not in implementation.dtypes:
        return None
    workload, index = problem.workload, expected.index
    batch = Split(problem.pixels[index], problem.labels[index])
    trainer = implementation.prepare(data.problem(workload, batch, "float64"))
    layers = map_arrays(np.float64, initial_layers(workload))
    here = expected._replace(index=np.arange(len(index)))
    return first_error(trainer, workload, layers, here)


def largest_error(layers: Layers, expected: Layers) -> float:
    """Return the largest difference of any array, over that array's largest entry."""
    return max(errors(layers, expected, str(layers[0].weight.dtype)).values())


def _beyond(what: str, error: float | None, bound: float) -> str:
    """Return the complaint about an error beyond its bound, or ""."""
    # Written so that NaN is wrong too.
    if error is None or error <= bound:
        return ""
    return f"disagrees: {what} off by {error:.1e}, more than {bound:.1e}"


def _first(
    trainer: Trainer, workload: Workload, layers: Layers, index: Array
) -> tuple[float, Layers]:
    """Return the batch's loss, and the layers after the first steps on it."""
    rates = [workload.learning_rate] * FEW if workload.options else [READING_RATE]
    trainer.load(layers)
    loss, *_ = [trainer.epoch(index, rate) for rate in rates]
    return loss, trainer.layers()


def _after_steps(trainer: Trainer, problem: Problem, layers: Layers) -> Layers:
    """Return the layers after 100 steps, or after whole epochs of at least so many."""
    workload, n = problem.workload, len(problem.labels)
    trainer.load(layers)
    for epoch in range(block_count(STEPS, block_count(n, workload.batch_size))):
        order = random.permutation(n, seed=0, epoch=epoch, xp=np)
        trainer.epoch(order[: STEPS * workload.batch_size], workload.learning_rate)
    return trainer.layers()
