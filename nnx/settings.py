"""Every setting, what it may be, and the records that hold them.

One table of rules serves the Python functions, the command line and TOML files,
so that a value out of range is refused alike everywhere.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

from nnx.errors import InputError
from nnx.maths.activations import ACTIVATIONS
from nnx.maths.distortion import Distortion
from nnx.maths.initializers import INITIALIZERS

DTYPES = "float32", "float64"
PIXELS = "unit", "raw"
PRECISIONS = "full", "tf32"
HIDDEN_LIMIT = 100_000
# The most of each distortion, and the narrowest Gaussian that is one.
MOST = Distortion(
    shift=1000, rotation=180, scale=0.95, shear=10, elastic=1000, sigma=100
)
LEAST_SIGMA = 0.1


class Rule(NamedTuple):
    """What a setting may be, in words and as a test."""

    allowed: str
    holds: Callable[[Any], bool]


def _integer(low: int, high: int) -> Rule:
    def holds(value: Any) -> bool:
        return type(value) is int and low <= value <= high

    return Rule(f"an integer from {low} to {high}", holds)


def _number(allowed: str, holds: Callable[[float], bool]) -> Rule:
    def both(value: Any) -> bool:
        return type(value) in (int, float) and math.isfinite(value) and holds(value)

    return Rule(allowed, both)


def _one_of(names: Any) -> Rule:
    return Rule("one of " + ", ".join(names), lambda value: value in tuple(names))


def _text(allowed: str) -> Rule:
    return Rule(allowed, lambda value: isinstance(value, str) and value != "")


def _is_batch_size(value: Any) -> bool:
    return value == "full" or (type(value) is int and 1 <= value < 2**31)


def _is_hidden(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(
        type(width) is int and 1 <= width <= HIDDEN_LIMIT for width in value
    )


def _is_activation(value: Any) -> bool:
    return isinstance(value, str) and set(value.split(",")) <= set(ACTIVATIONS)


def distortion_from(text: str) -> Distortion | None:
    """Return the distortion that a setting describes: "shift=2,rotation=15".

    "" is none. Refused: ValueError for names that do not exist or come
    twice, and for amounts out of range.
    """
    if not text:
        return None
    pairs = [part.partition("=")[::2] for part in text.split(",")]
    amounts = {name.strip(): float(amount) for name, amount in pairs}
    if len(amounts) < len(pairs) or not set(amounts) <= set(Distortion._fields):
        raise ValueError(text)
    found = Distortion(**amounts)
    if not all(0 <= amount <= most for amount, most in zip(found, MOST, strict=True)):
        raise ValueError(text)
    if found.sigma < LEAST_SIGMA:
        raise ValueError(text)
    return found


def _is_augment(value: Any) -> bool:
    try:
        distortion_from(value)
    except (ValueError, AttributeError):
        return False
    return isinstance(value, str)


def _is_init(value: Any) -> bool:
    return isinstance(value, str) and all(map(_is_one_init, value.split(",")))


def _is_one_init(name: str) -> bool:
    family, colon, sigma = name.partition(":")
    if family != "normal":
        return name == "auto" or name in INITIALIZERS
    try:
        return bool(colon) and 0 < float(sigma) < math.inf
    except ValueError:
        return False


RULES = {
    "dataset": _text("the name of a dataset or a path"),
    "data_dir": Rule("a path", lambda value: isinstance(value, str)),
    "backend": _text("the name of a backend"),
    "hidden": Rule(
        f"widths of hidden layers, each from 1 to {HIDDEN_LIMIT}", _is_hidden
    ),
    "activation": Rule(
        f"one of {', '.join(ACTIVATIONS)}, or one for each hidden layer with commas "
        "between",
        _is_activation,
    ),
    "init": Rule(
        f"one of auto, {', '.join(INITIALIZERS)} or normal:σ with σ > 0, or one for "
        "each layer with commas between",
        _is_init,
    ),
    "dtype": _one_of(DTYPES),
    "precision": _one_of(PRECISIONS),
    "epochs": _integer(1, 10**6),
    "batch_size": Rule("an integer from 1, or full", _is_batch_size),
    "learning_rate": _number(
        "a number above 0 and up to 1000", lambda value: 0 < value <= 1000
    ),
    "l2": _number("a number from 0 and below 1", lambda value: 0 <= value < 1),
    "augment": Rule(
        "amounts of "
        + ", ".join(f"{name} up to {most:g}" for name, most in MOST._asdict().items())
        + f' (from {LEAST_SIGMA}), as in shift=2,rotation=15, or ""',
        _is_augment,
    ),
    "pixels": _one_of(PIXELS),
    "seed": _integer(0, 2**63 - 1),
}


def check(name: str, value: Any) -> None:
    """Refuse a value that the setting may not have."""
    if not RULES[name].holds(value):
        raise InputError(f"{name} must be {RULES[name].allowed}, not {value!r}")


@dataclass(frozen=True)
class Training:
    """How a network is trained.

    epochs: passes over the training images
    batch_size: images a step, or "full" for all of them
    learning_rate: what gradients are multiplied by
    l2: the strength of the penalty l2/2 · Σ weight²
    augment: how far training images are distorted, anew in every epoch: amounts of
        `nnx.maths.distortion.Distortion`, as in "shift=2,rotation=15"; "" is not at all
    pixels: "unit" scales them to [0, 1]; "raw" leaves them as they are
    seed: for the shuffles
    """

    epochs: int = 20
    batch_size: int | str = 32
    learning_rate: float = 0.2
    l2: float = 0.0
    augment: str = ""
    pixels: str = "unit"
    seed: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            check(field.name, getattr(self, field.name))


@dataclass(frozen=True)
class Config(Training):
    """A whole run: how it is trained, of what, on what and where.

    dataset: a name or a path
    data_dir: a folder that holds the dataset's files; "" looks where it usually is
    hidden: the widths of the hidden layers; none for a linear classifier
    activation: of all hidden layers, or of one after another: "relu,tanh"
    init: how weights are drawn, in all layers or one after another; "auto" suits
        the activation
    precision: "tf32" lets a backend that can round the factors of float32 products
    """

    dataset: str = "digits"
    data_dir: str = ""
    hidden: tuple[int, ...] = (128,)
    activation: str = "relu"
    init: str = "auto"
    dtype: str = "float32"
    backend: str = "auto"
    precision: str = "full"

    def training(self) -> dict[str, Any]:
        """Return the settings of training alone."""
        return {field.name: getattr(self, field.name) for field in fields(Training)}


def config_from(values: Mapping[str, Any], source: str = "") -> Config:
    """Return the run that these settings describe, defaults for those not given.

    source: the file they come from, for the error's words
    Refused: a setting that does not exist, or may not have this value.
    """
    known = [field.name for field in fields(Config)]
    unknown = [name for name in values if name not in known]
    try:
        if unknown:
            raise InputError(
                f"no setting is called {unknown[0]!r}; there are {', '.join(known)}"
            )
        config = Config(**values)
    except InputError as error:
        raise InputError(f"{source}: {error}" if source else str(error)) from None
    return replace(config, hidden=tuple(config.hidden))
