"""The rates of each step of a run."""

from collections.abc import Sequence
from typing import NamedTuple

from nnx.maths import schedules
from nnx.maths.optimizers import Rates
from nnx.maths.schedules import Schedule

CONSTANT = Schedule()
NEGLIGIBLE = 1e-20  # beside 1, in float64


class Pace(NamedTuple):
    """How the rates of a run's steps follow from their numbers.

    optimizer, beta2: as in `nnx.maths.steps.Recipe`
    averaging: how much of the weights' moving average a step keeps, in the end
    epochs: of the whole run
    """

    learning_rate: float
    momentum: float = 0.0
    schedule: Schedule = CONSTANT
    momentum_schedule: Schedule = CONSTANT
    optimizer: str = "sgd"
    beta2: float = 0.0
    averaging: float = 0.0
    epochs: int = 1


def rates(pace: Pace, epoch: int, steps: int, scores: Sequence[float]) -> list[Rates]:
    """Return the rates of an epoch's steps.

    epoch: its number, from 0
    scores: of the epochs before it, higher is better
    """
    schedule = pace.schedule
    if schedule.name == "plateau":
        factor = schedule.factor ** schedules.plateaus(scores, schedule.patience)
        pace = pace._replace(learning_rate=factor * pace.learning_rate)
    first = epoch * steps
    if _always_the_same(pace):
        return [_one(pace, first, steps)] * steps
    paces = [_one(pace, first + i, steps) for i in range(steps)]
    return _unbiased(pace, paces, first, steps) if pace.optimizer == "adam" else paces


def _always_the_same(pace: Pace) -> bool:
    """Return whether no rate depends on the step, but for a plateau."""
    courses = pace.schedule, pace.momentum_schedule
    return (
        all(course.name in ("constant", "plateau") for course in courses)
        and not any(course.warmup for course in courses)
        and pace.averaging == 0.0
        and pace.optimizer != "adam"
    )


def _one(pace: Pace, number: int, steps: int) -> Rates:
    """Return the rates of a step, of which the run took `number` before."""
    # A step of the warm-up is counted when it is done, as the first would be nothing.
    time = (number + (number < pace.schedule.warmup * steps)) / steps
    learning_rate = schedules.value(
        pace.learning_rate, time, pace.schedule, pace.epochs
    )
    momentum = _momentum(pace, number, steps)
    # As in TensorFlow's ExponentialMovingAverage, so that it forgets how it began.
    averaging = min(pace.averaging, (1 + number) / (10 + number))
    return Rates(learning_rate, momentum, averaging=averaging)


def _momentum(pace: Pace, number: int, steps: int) -> float:
    return schedules.value(
        pace.momentum, number / steps, pace.momentum_schedule, pace.epochs
    )


def _unbiased(
    pace: Pace, paces: Sequence[Rates], first: int, steps: int
) -> list[Rates]:
    """Return Adam's rates with what its averages are multiplied by.

    After t steps, what is left of the mean's beginning at 0 is the product of all β₁ so
    far, which is β₁ᵗ where the momentum stays the same.
    """
    left, found = 1.0, []
    for number in range(first):
        left *= _momentum(pace, number, steps)
        if left < NEGLIGIBLE:
            break
    for number, each in enumerate(paces, first):
        left *= each.momentum
        squares = 1.0 / (1.0 - pace.beta2 ** (number + 1))
        scales = {"mean_scale": 1.0 / (1.0 - left), "square_scale": squares}
        found.append(each._replace(**scales))
    return found
