"""How far an implementation is from the same steps in float64 with NumPy.

Measured on the trainer that is then timed; where units are dropped, which none draws
like another, on one that drops none. The loss is the one it reports for a first batch.
Plain SGD's gradients are read off the step it makes: with a learning rate of 2²⁰ the
new weights are the gradients, to the last place but one, times -2²⁰. Of a recipe, the
weights after a few steps on that batch are compared.
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
BATCHES, ORDERS = 4, 3  # first ones that are looked at, and orders of each one's images
READING_RATE = 2.0**20
# How often NumPy's own error in float32 another's may be, and what is allowed to all
# after 100 steps: training amplifies rounding, by how much depends on the network.
LEEWAY, FREE = 10, 1e-4
CLIPPED = 1e-6  # PyTorch adds it to the norm of the gradients that it divides by
FINER = float(np.finfo(np.float64).eps / np.finfo(np.float32).eps)


class Reference(NamedTuple):
    """What the steps give in float64.

    index: of the images in the first batch, which come near no kink
    loss: of that batch, at the initial weights
    first: the layers after the first step, or a recipe's first few
    trained: the layers after 100 steps
    rounding: how far NumPy in float32 is from the first, in the worst of some orders of
        the images, and from the trained
    bfloat16: the same where the factors of its products are rounded to bfloat16
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
    float64: the same in float64; None where an implementation has none
    after_100: of the weights after 100 steps, float32
    """

    first: float | None = None
    float64: float | None = None
    after_100: float | None = None
    wrong: str = ""

    def as_row(self) -> Row:
        """Return the same as a report has it."""
        return {
            "max_relative_error": self.first,
            "max_relative_error_float64": self.float64,
            "parameters_error_after_100_steps": self.after_100,
            "no_speed_because": self.wrong or None,
        }


def reference(problem: Problem, *, bfloat16: bool = False) -> Reference:
    """Return what a workload's steps give in float64, from the same float32 weights.

    A hidden unit may come to relu's kink after a step, where the last digit decides: of
    some batches that one is taken on which NumPy in float32 is nearest to float64.

    bfloat16: whether there are implementations that round factors so
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
    """Return what the first steps give on a batch without images at a kink."""
    size, n = trainer.hyper.batch_size, len(trainer.images.labels)
    order = random.permutation(n, seed=0, epoch=number, xp=np)[: 2 * size]
    trainer.load(layers)
    smooth = is_smooth(trainer.state, trainer.images, order, trainer.hyper)
    index = order[smooth][:size]
    return Reference(index, *_first(trainer, workload, layers, index), [])


def _largest_first_error(
    trainer: Trainer, workload: Workload, layers: Layers, expected: Reference
) -> float:
    """Return the largest error of the first steps, of some orders of a batch's images.

    In each other last digits are rounded.
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
    """Return how well an implementation agrees, and a trainer to time where it does."""
    compared = problem._replace(workload=problem.workload.without_draws)
    layers = initial_layers(compared.workload)
    try:
        trainer = implementation.prepare(compared)
        first, after = _errors(trainer, compared, layers, expected)
        double = float64_error(implementation, compared, expected)
        if compared.workload != problem.workload:
            trainer = implementation.prepare(problem)
    except Exception as error:
        # Whatever a library raises, the others' results are still worth having.
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
    """Return the same in float64, on a trainer with no more images than these.

    problem: without draws
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
    """Return what is wrong with an error, or nothing."""
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
    """Return the layers after 100 steps, or whole epochs of so many and more."""
    workload, n = problem.workload, len(problem.labels)
    trainer.load(layers)
    for epoch in range(block_count(STEPS, block_count(n, workload.batch_size))):
        order = random.permutation(n, seed=0, epoch=epoch, xp=np)
        trainer.epoch(order[: STEPS * workload.batch_size], workload.learning_rate)
    return trainer.layers()
