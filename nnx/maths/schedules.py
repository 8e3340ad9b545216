"""How the learning rate and the momentum change from step to step.

Each is a function of the epochs done so far, including the fraction of the current
one, so it does not matter how a run is split. `at_steps` gives the values of each step.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, repeat
from operator import mul

from nnx.maths.hyperparameters import Hyperparameters, Schedule
from nnx.maths.optimizers import OPTIMIZERS

NEGLIGIBLE = 1e-20  # compared with 1, in float64


def constant(base: float, time: float, s: Schedule, epochs: float) -> float:
    """Return base at all times."""
    return base


def step(base: float, time: float, s: Schedule, epochs: float) -> float:
    """Return base, multiplied by the factor once every `s.every` epochs.

    A time just below a step, because of rounding, counts as having reached it.
    """
    return base * math.pow(s.factor, math.floor(time / s.every + 1e-9))


def exponential(base: float, time: float, s: Schedule, epochs: float) -> float:
    """Return base · factor^time: a continuous decay by the factor per epoch."""
    return base * math.pow(s.factor, time)


def inverse(base: float, time: float, s: Schedule, epochs: float) -> float:
    """Return base / (1 + rate · time)."""
    return base / (1.0 + s.rate * time)


def linear(base: float, time: float, s: Schedule, epochs: float) -> float:
    """Return the value on the straight line from base to `s.to`."""
    return base + (s.to - base) * _done(time, s, epochs)


def cosine(base: float, time: float, s: Schedule, epochs: float) -> float:
    """Return the value on half a cosine from base to `s.to`.

    Source: Loshchilov and Hutter, arXiv:1608.03983, without restarts.
    """
    return _eased(base, s.to, _done(time, s, epochs))


def one_cycle(base: float, time: float, s: Schedule, epochs: float) -> float:
    """Return the value on half a cosine up to base, then half a cosine down to `s.to`.

    Source: Smith and Topin, arXiv:1708.07120, in the form used by fastai.
    """
    done = _done(time, s, epochs)
    if done < s.rise:
        return _eased(s.start * base, base, done / s.rise)
    return _eased(base, s.to, (done - s.rise) / (1.0 - s.rise))


def dip(base: float, time: float, s: Schedule, epochs: float) -> float:
    """Return the value on half a cosine down to `s.to`, then half a cosine back.

    This is the momentum of a one-cycle run.
    """
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
    """Return the scheduled value at a time.

    base: the value before scheduling
    time: epochs done since the start of the run
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

    If nothing varies, the same record is yielded each time.
    """
    varying = varying_numbers(hyper, first, count, steps_per_epoch)
    if not varying:
        yield from repeat(hyper, count)
    for values in zip(*varying.values(), strict=True):
        yield hyper._replace(**dict(zip(varying, values, strict=True)))


def varying_numbers(
    hyper: Hyperparameters, first: int, count: int, steps_per_epoch: int
) -> dict[str, list[float]]:
    """Return the hyperparameters that differ from step to step, by name.

    They may be the learning rate, the momentum, the ema_decay, and Adam's corrections
    and epsilon; each has a value for each of the steps first … first + count - 1.
    """
    numbers = range(first, first + count)
    varying = dict[str, list[float]]()
    if _changes(hyper.schedule):
        # Warm-up counts the step itself as done; otherwise the first rate would be 0.
        warmup = hyper.schedule.warmup * steps_per_epoch
        times = ((n + (n < warmup)) / steps_per_epoch for n in numbers)
        varying["learning_rate"] = [
            value(hyper.learning_rate, time, hyper.schedule, hyper.epochs)
            for time in times
        ]
    if _changes(hyper.momentum_schedule):
        varying["momentum"] = [_momentum(hyper, n, steps_per_epoch) for n in numbers]
    if hyper.ema_decay > 0.0:
        # As in TensorFlow's ExponentialMovingAverage: early averages forget the start.
        varying["ema_decay"] = [
            min(hyper.ema_decay, (1 + n) / (10 + n)) for n in numbers
        ]
    if OPTIMIZERS[hyper.optimizer].corrects:
        varying |= _of_adam(hyper, numbers, varying.get("momentum"), steps_per_epoch)
    return varying


def _of_adam(
    hyper: Hyperparameters,
    numbers: range,
    momenta: Sequence[float] | None,
    steps_per_epoch: int,
) -> dict[str, list[float]]:
    """Return Adam's corrections of its two averages, and its epsilon if it varies.

    momenta: β₁ of each step; None if it is constant
    """
    if momenta is None:
        left = [hyper.momentum ** (n + 1) for n in numbers]
    else:
        start = _product(hyper, numbers.start, steps_per_epoch)
        left = list(accumulate(momenta, mul, initial=start))[1:]
    squares = [1.0 / (1.0 - hyper.beta2 ** (n + 1)) for n in numbers]
    varying = {
        "mean_correction": [1.0 / (1.0 - product) for product in left],
        "square_correction": squares,
    }
    if hyper.early_epsilon:
        varying["epsilon"] = [hyper.epsilon * math.sqrt(square) for square in squares]
    return varying


def _product(hyper: Hyperparameters, steps: int, steps_per_epoch: int) -> float:
    """Return the product of the first `steps` steps' β₁.

    It is the weight that remains of the initial value of Adam's mean. Once negligible,
    it is not computed further.
    """
    left = 1.0
    for number in range(steps):
        left *= _momentum(hyper, number, steps_per_epoch)
        if left < NEGLIGIBLE:
            break
    return left


def _changes(schedule: Schedule) -> bool:
    """Return whether a scheduled value depends on the step."""
    return SHAPES[schedule.name] is not constant or schedule.warmup > 0.0


def _momentum(hyper: Hyperparameters, number: int, steps_per_epoch: int) -> float:
    time = number / steps_per_epoch
    return value(hyper.momentum, time, hyper.momentum_schedule, hyper.epochs)


def plateaus(scores: Sequence[float], patience: int) -> int:
    """Return how many plateaus there were: `patience` epochs without improvement.

    scores: one per epoch, higher is better; counting starts anew after a plateau
    """
    count, best, waited = 0, -math.inf, 0
    for score in scores:
        waited = 0 if score > best else waited + 1
        best = max(best, score)
        if waited == patience:
            count, waited = count + 1, 0
    return count


def _done(time: float, s: Schedule, epochs: float) -> float:
    """Return the fraction of the schedule that is done, in [0, 1]."""
    whole = s.over or epochs
    return min(time / whole, 1.0) if whole > 0.0 else 1.0


def _eased(start: float, end: float, done: float) -> float:
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))
