"""Notations of distortions and schedules, and conversion to records and back.

Text becomes a record once, where a setting comes in, and text again in a settings file.
"""

from numbers import Real
from typing import Any

from nnx.errors import in_few_words
from nnx.maths.hyperparameters import Distortion, Schedule

# Upper bounds of a distortion's amounts, and the lower bound of sigma.
LIMITS = Distortion(
    shift=1000, rotation=180, scale=0.95, shear=10, elastic=1000, sigma=100
)
LEAST_SIGMA = 0.1
# The numbers of each schedule besides `warmup`, with their defaults.
SCHEDULES: dict[str, dict[str, float]] = {
    "constant": {},
    "step": {"every": 10.0, "factor": 0.5},
    # The default factor of `step`, applied in every epoch, would decay too fast.
    "exponential": {"factor": 0.95},
    "inverse": {"rate": 0.1},
    "linear": {"to": 0.0, "over": 0.0},
    "cosine": {"to": 0.0, "over": 0.0},
    "one-cycle": {"to": 0.0, "over": 0.0, "rise": 0.3, "start": 0.04},
    "dip": {"to": 0.0, "over": 0.0, "rise": 0.3},
    "plateau": {"factor": 0.5, "patience": 5},
}
BOUNDS = {
    "warmup": (0.0, 1e6),
    "every": (0.01, 1e6),
    "factor": (1e-9, 1.0),
    "rate": (0.0, 1e6),
    "to": (0.0, 1000.0),
    "over": (0.0, 1e6),
    "patience": (1, 1e6),
    "rise": (0.01, 0.99),
    "start": (0.0, 1.0),
}


def distortion(text: str) -> Distortion | None:
    """Return the distortion in "shift=2,rotation=15"; None for "".

    Raises:
        ValueError: a name is unknown or occurs twice, or a value is not a number
    """
    return Distortion(**_numbers(text, Distortion._fields)) if text.strip() else None


def check_distortion(amounts: Distortion | None) -> None:
    """Refuse amounts out of range, with ValueError."""
    for name, amount, limit in zip(
        Distortion._fields, amounts or (), LIMITS, strict=bool(amounts)
    ):
        _check_range(name, amount, LEAST_SIGMA if name == "sigma" else 0.0, limit)


def distortion_text(amounts: Distortion | None) -> str:
    """Return amounts in the notation that `distortion` reads."""
    if amounts is None:
        return ""
    return _text(amounts._asdict(), Distortion._field_defaults) or "shift=0"


def schedule(text: str) -> Schedule:
    """Return the schedule in "cosine:warmup=2,to=0.001".

    Raises:
        ValueError: a name is unknown, occurs twice or is not of this schedule, or a
            value is not a number
    """
    name, colon, rest = text.partition(":")
    name = name.strip()
    if name not in SCHEDULES:
        raise ValueError(f"no schedule is called {in_few_words(name, 40)}")
    given = _numbers(rest, ("warmup", *SCHEDULES[name])) if colon else {}
    numbers: dict[str, Any] = SCHEDULES[name] | given
    return Schedule(name, **numbers)


def check_schedule(course: Schedule) -> None:
    """Refuse, with ValueError, an unknown schedule or a number out of range."""
    if course.name not in list(SCHEDULES):
        raise ValueError(f"no schedule is called {in_few_words(course.name, 40)}")
    for key in ("warmup", *SCHEDULES[course.name]):
        _check_range(key, getattr(course, key), *BOUNDS[key])
    if course.patience != int(course.patience):
        raise ValueError("patience must be a whole number of epochs")


def schedule_text(course: Schedule) -> str:
    """Return a schedule in the notation that `schedule` reads."""
    usual = {"warmup": 0.0} | SCHEDULES[course.name]
    numbers = {key: getattr(course, key) for key in usual}
    return ":".join(filter(None, [course.name, _text(numbers, usual)]))


def _text(numbers: dict[str, float], usual: dict[str, Any]) -> str:
    """Return "a=1,b=2" for the numbers that differ from the usual ones."""
    return ",".join(
        f"{name}={_shortest(number)}"
        for name, number in numbers.items()
        if number != usual[name]
    )


def _shortest(number: float) -> str:
    """Return the shortest text that is read as this number."""
    text = f"{number:g}"
    return text if float(text) == number else repr(float(number))


def _numbers(text: str, names: tuple[str, ...]) -> dict[str, float]:
    """Return "a=1,b=2" as numbers; ValueError for another name, or one given twice."""
    numbers: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = (piece.strip() for piece in part.partition("="))
        if name not in names:
            raise ValueError(
                f"{in_few_words(name, 40)} is not one of {', '.join(names)}"
            )
        if name in numbers:
            raise ValueError(f"{name} is given twice")
        try:
            numbers[name] = float(number)
        except ValueError:
            raise ValueError(f"{name}={number} is not a number") from None
    return numbers


def _check_range(name: str, number: Any, low: float, high: float) -> None:
    is_number = isinstance(number, Real)
    if not is_number or not low <= number <= high:
        raise ValueError(f"{name} must be from {low:g} to {high:g}")
