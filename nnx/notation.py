"""Settings that are a line of text: what they may say, and what it means."""

from nnx.maths.distortion import Distortion
from nnx.maths.schedules import Schedule

# The most of each distortion, and the narrowest Gaussian that is one.
MOST = Distortion(
    shift=1000, rotation=180, scale=0.95, shear=10, elastic=1000, sigma=100
)
LEAST_SIGMA = 0.1
# The numbers that each schedule has, besides `warmup`; the least and most of each.
COURSES = {
    "constant": (),
    "step": ("every", "factor"),
    "exponential": ("factor",),
    "inverse": ("rate",),
    "linear": ("to", "over"),
    "cosine": ("to", "over"),
    "one-cycle": ("to", "over", "rise", "start"),
    "dip": ("to", "over", "rise"),
    "plateau": ("factor", "patience"),
}
EXPONENTIAL = 0.95  # the factor of "exponential", where none is given
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


def distortion_from(text: str) -> Distortion | None:
    """Return the distortion that a setting describes: "shift=2,rotation=15".

    "" is none. Refused: ValueError for names that do not exist or come
    twice, and for amounts out of range.
    """
    if not text:
        return None
    found = Distortion(**_numbers(text, Distortion._fields))
    for name, amount, most in zip(Distortion._fields, found, MOST, strict=True):
        least = LEAST_SIGMA if name == "sigma" else 0.0
        _in_range(name, amount, least, most)
    return found


def schedule_from(text: str) -> Schedule:
    """Return the schedule that a setting describes: "cosine:warmup=2,to=0.001".

    Refused: ValueError for names that do not exist or come twice, for numbers that
    this schedule has not, and for those out of range.
    """
    name, colon, rest = text.strip().partition(":")
    if name not in COURSES:
        raise ValueError(f"no schedule is called {name!r}")
    given = _numbers(rest, ("warmup", *COURSES[name])) if colon else {}
    if name == "exponential":
        # Half in every epoch, as from step to step, would be over too soon.
        given.setdefault("factor", EXPONENTIAL)
    for key, number in given.items():
        _in_range(key, number, *BOUNDS[key])
    patience = given.pop("patience", Schedule().patience)
    if patience != int(patience):
        raise ValueError("patience is a whole number of epochs")
    return Schedule(name, patience=int(patience), **given)


def _numbers(text: str, names: tuple[str, ...]) -> dict[str, float]:
    """Return "a=1,b=2" as numbers, refused for other names and for one twice."""
    found: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = (piece.strip() for piece in part.partition("="))
        if name not in names:
            raise ValueError(f"{name!r} is none of {', '.join(names)}")
        if name in found:
            raise ValueError(f"{name} comes twice")
        try:
            found[name] = float(number)
        except ValueError:
            raise ValueError(f"{name}={number} is no number") from None
    return found


def _in_range(name: str, number: float, least: float, most: float) -> None:
    if not least <= number <= most:
        raise ValueError(f"{name} may be {least:g} to {most:g}")
