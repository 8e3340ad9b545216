"""How the learning rate and the momentum change from step to step.

Each is a function of the epochs done so far, with the part of the one that is running,
so that it does not matter how a run is cut. `at_steps` gives the numbers of each step.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from typing import Any

from nnx.maths.hyperparameters import Hyperparameters, Schedule

NEGLIGIBLE = 1e-20  # beside 1, in float64


def constant(base: float, time: float, s: Schedule, epochs: float) -> float:
    """Return the same at all times."""
    return base


def step(base: float, time: float, s: Schedule, epochs: float) -> float:
    """Return base, multiplied by the factor every so many epochs.

    A time that is rounded to just below a step has reached it.
    """
    return base * math.pow(s.factor, math.floor(time / s.every + 1e-9))


def exponential(base: float, time: float, s: Schedule, epochs: float) -> float:
    """Return base, multiplied by the factor in each epoch, little by little."""
    return base * math.pow(s.factor, time)


def inverse(base: float, time: float, s: Schedule, epochs: float) -> float:
    """Return base / (1 + rate · time)."""
    return base / (1.0 + s.rate * time)


def linear(base: float, time: float, s: Schedule, epochs: float) -> float:
    """Return what lies on the straight line from base to the end."""
    return base + (s.to - base) * _done(time, s, epochs)


def cosine(base: float, time: float, s: Schedule, epochs: float) -> float:
    """Return half a cosine from base to the end.

    Source: Loshchilov and Hutter, arXiv:1608.03983, without restarts.
    """
    return _eased(base, s.to, _done(time, s, epochs))


def one_cycle(base: float, time: float, s: Schedule, epochs: float) -> float:
    """Return half a cosine up to base, and one down to the end.

    Source: Smith and Topin, arXiv:1708.07120, as fastai has it.
    """
    done = _done(time, s, epochs)
    if done < s.rise:
        return _eased(s.start * base, base, done / s.rise)
    return _eased(base, s.to, (done - s.rise) / (1.0 - s.rise))


def dip(base: float, time: float, s: Schedule, epochs: float) -> float:
    """Return half a cosine down to `to`, and one back: a one-cycle run's momentum."""
    done = _done(time, s, epochs)
    if done < s.rise:
        return _eased(base, s.to, done / s.rise)
    return _eased(s.to, base, (done - s.rise) / (1.0 - s.rise))


SHAPES: dict[str, Callable[[float, float, Schedule, float], float]] = {
    "constant": constant,
    "step": step,
    "exponential": exponential,
    "inverse": inverse,
    "linear": linear,
    "cosine": cosine,
    "one-cycle": one_cycle,
    "dip": dip,
    "plateau": constant,
}


def value(base: float, time: float, schedule: Schedule, epochs: float) -> float:
    """Return the setting at a time.

    base: as it was set; time: epochs done since the run began
    epochs: of the whole run
    """
    if time < schedule.warmup:
        return base * time / schedule.warmup
    left = epochs - schedule.warmup
    return SHAPES[schedule.name](base, time - schedule.warmup, schedule, left)


def at_steps(
    hyper: Hyperparameters, first: int, count: int, steps_per_epoch: int
) -> Iterator[Hyperparameters]:
    """Yield the hyperparameters of the steps first … first + count - 1 of a run.

    They differ in the learning rate, the momentum, the ema_decay and Adam's numbers;
    where nothing varies it is the same record each time.
    """
    if not _vary(hyper):
        yield from repeat(hyper, count)
        return
    if hyper.optimizer != "adam":
        for number in range(first, first + count):
            yield hyper._replace(**_at_step(hyper, number, steps_per_epoch))
        return
    changes = _changes(hyper.momentum_schedule)
    left = _product(hyper, first, steps_per_epoch) if changes else 1.0
    for number in range(first, first + count):
        now = _at_step(hyper, number, steps_per_epoch)
        left = left * now["momentum"] if changes else hyper.momentum ** (number + 1)
        now["mean_correction"] = 1.0 / (1.0 - left)
        square = now["square_correction"] = 1.0 / (1.0 - hyper.beta2 ** (number + 1))
        if hyper.early_epsilon:
            now["epsilon"] = hyper.epsilon * math.sqrt(square)
        yield hyper._replace(**now)


def _product(hyper: Hyperparameters, steps: int, steps_per_epoch: int) -> float:
    """Return the product of so many steps' β₁, or next to nothing.

    It is what is left of the beginning of Adam's mean: β₁ᵗ where they are the same.
    """
    left = 1.0
    for number in range(steps):
        left *= _momentum(hyper, number, steps_per_epoch)
        if left < NEGLIGIBLE:
            break
    return left


def _changes(schedule: Schedule) -> bool:
    """Return whether a number depends on the step."""
    return schedule.name not in ("constant", "plateau") or schedule.warmup > 0.0


def _vary(hyper: Hyperparameters) -> bool:
    """Return whether any number depends on the step."""
    return (
        _changes(hyper.schedule)
        or _changes(hyper.momentum_schedule)
        or hyper.ema_decay > 0.0
        or hyper.optimizer == "adam"
    )


def _at_step(
    hyper: Hyperparameters, number: int, steps_per_epoch: int
) -> dict[str, Any]:
    """Return what is a step's own, of which the run took `number` before."""
    # A step of the warm-up is counted when it is done, as the first would be nothing.
    warmup = hyper.schedule.warmup * steps_per_epoch
    time = (number + (number < warmup)) / steps_per_epoch
    rate = value(hyper.learning_rate, time, hyper.schedule, hyper.epochs)
    return {
        "learning_rate": rate,
        "momentum": _momentum(hyper, number, steps_per_epoch),
        # As in TensorFlow's ExponentialMovingAverage, so that it forgets how it began.
        "ema_decay": min(hyper.ema_decay, (1 + number) / (10 + number)),
    }


def _momentum(hyper: Hyperparameters, number: int, steps_per_epoch: int) -> float:
    time = number / steps_per_epoch
    return value(hyper.momentum, time, hyper.momentum_schedule, hyper.epochs)


def plateaus(scores: Sequence[float], patience: int) -> int:
    """Return how often so many epochs in a row brought nothing better.

    scores: an epoch's, higher is better; after a plateau it is counted from there
    """
    count, best, waited = 0, -math.inf, 0
    for score in scores:
        waited = 0 if score > best else waited + 1
        best = max(best, score)
        if waited == patience:
            count, waited = count + 1, 0
    return count


def _done(time: float, s: Schedule, epochs: float) -> float:
    """Return what part of the course is over, in [0, 1]."""
    whole = s.over or epochs
    return min(time / whole, 1.0) if whole > 0.0 else 1.0


def _eased(start: float, end: float, done: float) -> float:
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))
