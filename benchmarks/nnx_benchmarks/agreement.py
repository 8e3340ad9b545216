"""How far an implementation is from the same steps in float64 with NumPy.

Measured on the trainer that is then timed. The loss is the one it reports for a first
batch. The gradients are read off the step it makes: with a learning rate of 2²⁰ the
new weights are the gradients, to the last place but one, times -2²⁰.
"""

from typing import NamedTuple

import numpy as np

from nnx.backend import find
from nnx.data.dataset import Array, Split
from nnx.maths import random, steps
from nnx.maths.arrays import map_arrays
from nnx.maths.state import Layers, Parameters, initial_state
from nnx.verify.compare import BOUNDS, errors
from nnx.verify.kinks import is_smooth
from nnx_benchmarks import data
from nnx_benchmarks.nnx_run import NnxTrainer
from nnx_benchmarks.report import Row
from nnx_benchmarks.rivals.plain_numpy import PlainTrainer
from nnx_benchmarks.trainer import Implementation, Trainer
from nnx_benchmarks.workloads import Problem, initial_layers

STEPS = 100
READING_RATE = 2.0**20
# How often the error of plain NumPy after 100 steps another's may be, and what is
# allowed to all: training amplifies rounding, by how much depends on the network.
LEEWAY, FREE = 10, 1e-4


class Reference(NamedTuple):
    """What the steps give in float64.

    index: of the images in the first batch, which come near no kink
    loss, gradients: of that batch, at the initial weights
    trained: the weights after 100 steps
    rounding: how far a page of plain NumPy in float32 is from them
    """

    index: Array
    loss: float
    gradients: Parameters
    trained: Parameters
    rounding: float


class Agreement(NamedTuple):
    """The largest relative errors, and what is wrong with them, if anything.

    first: of the loss and every gradient of one batch, float32
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


def reference(problem: Problem) -> Reference:
    """Return what a workload's steps give in float64, from the same float32 weights."""
    layers = initial_layers(problem.workload)
    wide = map_arrays(np.float64, layers)
    trainer = NnxTrainer(problem, find("numpy"))
    hyper, ops = trainer.hyper, trainer.backend.ops
    state, images = initial_state(wide, hyper, ops), trainer.images
    order = random.permutation(len(problem.labels), seed=0, epoch=0, xp=np)
    order = order[: 2 * hyper.batch_size]
    smooth = is_smooth(state, images, order, hyper)
    index = order[smooth][: hyper.batch_size]
    result = steps.batch_gradients(state, images, index, hyper, ops)
    loss = float(result.loss_sum) / len(index)
    trained = _after_steps(trainer, problem, wide)
    plain = _after_steps(PlainTrainer(problem), problem, layers)
    rounding = largest_error(plain, trained)
    return Reference(index, loss, result.gradients, trained, rounding)


def check(
    implementation: Implementation, problem: Problem, wanted: Reference
) -> tuple[Agreement, Trainer | None]:
    """Return how well an implementation agrees, and a trainer to time where it does."""
    layers = initial_layers(problem.workload)
    try:
        trainer = implementation.prepare(problem)
        first = first_error(trainer, layers, wanted)
        after = largest_error(_after_steps(trainer, problem, layers), wanted.trained)
        double = _float64_error(implementation, problem, wanted)
    except Exception as error:
        # Whatever a library raises, the others' results are still worth having.
        words = (str(error).strip() or type(error).__name__).splitlines()[0]
        return Agreement(wrong=f"failed: {words}"), None
    allowed = max(FREE, LEEWAY * wanted.rounding)
    wrong = (
        _beyond("loss and gradients", first, BOUNDS["float32"])
        or _beyond(f"weights after {STEPS} steps", after, allowed)
        or _beyond("float64 loss and gradients", double, BOUNDS["float64"])
    )
    return Agreement(first, double, after, wrong), None if wrong else trainer


def first_error(trainer: Trainer, layers: Layers, wanted: Reference) -> float:
    """Return the largest error of the first batch's loss and gradients."""
    trainer.load(layers)
    loss = trainer.epoch(wanted.index, READING_RATE)
    gradients = map_arrays(_slope, list(layers), list(trainer.layers()))
    off = abs(loss - wanted.loss) / wanted.loss
    return max(off, largest_error(gradients, wanted.gradients))


def _float64_error(
    implementation: Implementation, problem: Problem, wanted: Reference
) -> float | None:
    """Return the same in float64, on a trainer with no more images than these."""
    if "float64" not in implementation.dtypes:
        return None
    batch = Split(problem.pixels[wanted.index], problem.labels[wanted.index])
    trainer = implementation.prepare(data.problem(problem.workload, batch, "float64"))
    layers = map_arrays(np.float64, initial_layers(problem.workload))
    return first_error(trainer, layers, wanted._replace(index=np.arange(len(batch[0]))))


def _slope(old: Array, new: Array) -> Array:
    return (old.astype(np.float64) - new.astype(np.float64)) / READING_RATE


def largest_error(layers: Parameters, wanted: Parameters) -> float:
    """Return the largest difference of any array, over that array's largest entry."""
    return max(errors(layers, wanted, str(layers[0].weight.dtype)).values())


def _beyond(what: str, error: float | None, bound: float) -> str:
    """Return what is wrong with an error, or nothing."""
    # Written so that NaN is wrong too.
    if error is None or error <= bound:
        return ""
    return f"disagrees: {what} off by {error:.1e}, more than {bound:.1e}"


def _after_steps(trainer: Trainer, problem: Problem, layers: Layers) -> Layers:
    """Return the weights after 100 steps of as many epochs as they take."""
    workload, n = problem.workload, len(problem.labels)
    trainer.load(layers)
    left, epoch = STEPS, 0
    while left > 0:
        order = random.permutation(n, seed=0, epoch=epoch, xp=np)
        order = order[: left * workload.batch_size]
        trainer.epoch(order, workload.learning_rate)
        left -= -(-len(order) // workload.batch_size)
        epoch += 1
    return trainer.layers()
