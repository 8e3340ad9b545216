"""How the learning rate and the momentum change from step to step.

Each is a function of the epochs done so far, with the part of the one that is running,
so that it does not matter how a run is cut.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Schedule(NamedTuple):
    """A setting's course; which of the numbers count depends on its name.

    name: in `SHAPES`; "plateau" is a function of the log, see `plateaus`
    warmup: epochs in which it rises from nothing, straight
    every: epochs from step to step
    factor: what it is multiplied by at each step, in each epoch, or on a plateau
    rate: what an epoch adds to the divisor of "inverse"
    to: where it ends
    over: epochs until it is there; 0 is all there are
    patience: epochs without anything better that are a plateau
    rise, start: the part of a one-cycle run in which it rises, and from what share
    """

    name: str = "constant"
    warmup: float = 0.0
    every: float = 10.0
    factor: float = 0.5
    rate: float = 0.1
    to: float = 0.0
    over: float = 0.0
    patience: int = 5
    rise: float = 0.3
    start: float = 0.04


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
