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
from nnx.maths.schedules import SHAPES, Schedule

DTYPES = "float32", "float64"
PIXELS = "unit", "raw"
PRECISIONS = "full", "tf32"
HIDDEN_LIMIT = 100_000
# The most of each distortion, and the narrowest Gaussian that is one.
MOST = Distortion(
    shift=1000, rotation=180, scale=0.95, shear=10, elastic=1000, sigma=100
)
LEAST_SIGMA = 0.1
OPTIMIZERS = "sgd", "nesterov", "adam", "adamw", "rmsprop"
# What "auto" is, by the optimizer: learning rate, momentum (Adam's β₁) and β₂.
AUTOMATIC = {
    "sgd": (0.2, 0.0, 0.0),
    "nesterov": (0.02, 0.9, 0.0),
    "adam": (0.001, 0.9, 0.999),
    "adamw": (0.001, 0.9, 0.999),
    "rmsprop": (0.001, 0.0, 0.99),
}
# Of a schedule's numbers, the least and the most.
COURSE = {
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


def schedule_from(text: str) -> Schedule:
    """Return the schedule that a setting describes: "cosine:warmup=2,to=0.001".

    Refused: ValueError for names that do not exist or come twice, and for numbers out
    of range.
    """
    name, colon, rest = text.partition(":")
    pairs = [part.partition("=")[::2] for part in rest.split(",")] if colon else []
    given = {key.strip(): float(number) for key, number in pairs}
    if name not in SHAPES or len(given) < len(pairs) or not set(given) <= set(COURSE):
        raise ValueError(text)
    for key, number in given.items():
        low, high = COURSE[key]
        if not low <= number <= high:
            raise ValueError(text)
    patience = int(given.pop("patience", Schedule().patience))
    return Schedule(name, patience=patience, **given)


def _is_schedule(value: Any) -> bool:
    try:
        schedule_from(value)
    except (ValueError, AttributeError):
        return False
    return True


def _is_class_weights(value: Any) -> bool:
    if value == "balanced":
        return True
    return isinstance(value, list | tuple) and all(
        type(weight) in (int, float) and 0 <= weight <= 1e6 for weight in value
    ) and (not value or any(value))


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


_SHARE = _number("a number from 0 and below 1", lambda value: 0 <= value < 1)
_AMOUNT = _number("a number from 0 to 1000000", lambda value: 0 <= value <= 1e6)
_SCHEDULE = Rule(
    f"one of {', '.join(SHAPES)}, with some of "
    + ", ".join(f"{k} from {low:g} to {high:g}" for k, (low, high) in COURSE.items())
    + ", as in cosine:warmup=2,to=0.001",
    _is_schedule,
)


def _or_auto(rule: Rule) -> Rule:
    return Rule(
        f"{rule.allowed}, or auto", lambda value: value == "auto" or rule.holds(value)
    )


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
    "optimizer": _one_of(OPTIMIZERS),
    "learning_rate": _or_auto(
        _number("a number above 0 and up to 1000", lambda value: 0 < value <= 1000)
    ),
    "momentum": _or_auto(_SHARE),
    "beta2": _or_auto(_SHARE),
    "schedule": _SCHEDULE,
    "momentum_schedule": _SCHEDULE,
    "l1": _SHARE,
    "l2": _SHARE,
    "weight_decay": _SHARE,
    "clip_norm": _AMOUNT,
    "max_norm": _AMOUNT,
    "input_dropout": _SHARE,
    "dropout": _SHARE,
    "batch_norm": Rule("true or false", lambda value: isinstance(value, bool)),
    "label_smoothing": _SHARE,
    "class_weights": Rule(
        "a number from 0 for each class, not all 0, or balanced", _is_class_weights
    ),
    "averaging": _SHARE,
    "validation": _SHARE,
    "early_stopping": _integer(0, 10**6),
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
    optimizer: "sgd", "nesterov", "adam" or "rmsprop"; "adamw" is adam
    learning_rate: what the optimizer's direction is multiplied by; "auto" is 0.2 for
        sgd, times 1 - momentum, and 0.001 for adam and rmsprop
    momentum: of SGD and RMSprop, and Adam's β₁; "auto" is 0.9 for nesterov and adam
    beta2: how much of their mean square Adam and RMSprop keep
    schedule, momentum_schedule: how the two change; see `nnx.maths.schedules`
    l1, l2: the strengths of the penalties l1 · Σ |weight| and l2/2 · Σ weight²
    weight_decay: what share of the weights, times the learning rate, a step takes off
    clip_norm: the most that the gradient's norm may be; 0 is no bound
    max_norm: the most that the norm of a unit's weights may be; 0 is no bound
    input_dropout, dropout: the share of pixels, and of hidden units, that is left out
    batch_norm: whether hidden layers are normalized batch by batch
    label_smoothing: the share of each label that is spread over all classes
    class_weights: what each class counts; "balanced": as much as any other
    averaging: how much of the weights' moving average, which is then what is used,
        a step keeps; 0 is no average
    validation: the share of the training images that is held out for choosing
    early_stopping: epochs without a better validation accuracy after which training
        ends with the best epoch's weights; 0 is never
    augment: how far training images are distorted, anew in every epoch: amounts of
        `nnx.maths.distortion.Distortion`, as in "shift=2,rotation=15"; "" is not at all
    pixels: "unit" scales them to [0, 1]; "raw" leaves them as they are
    seed: for shuffles, dropout and distortion
    """

    epochs: int = 20
    batch_size: int | str = 32
    optimizer: str = "sgd"
    learning_rate: float | str = "auto"
    momentum: float | str = "auto"
    beta2: float | str = "auto"
    schedule: str = "constant"
    momentum_schedule: str = "constant"
    l1: float = 0.0
    l2: float = 0.0
    weight_decay: float = 0.0
    clip_norm: float = 0.0
    max_norm: float = 0.0
    input_dropout: float = 0.0
    dropout: float = 0.0
    batch_norm: bool = False
    label_smoothing: float = 0.0
    class_weights: tuple[float, ...] | str = ()
    averaging: float = 0.0
    validation: float = 0.0
    early_stopping: int = 0
    augment: str = ""
    pixels: str = "unit"
    seed: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            check(field.name, getattr(self, field.name))
        rate, momentum, beta2 = AUTOMATIC[self.optimizer]
        if self.momentum != "auto" and self.optimizer in ("sgd", "nesterov"):
            rate = 0.2 * (1.0 - float(self.momentum))
        for name, value in (
            ("learning_rate", rate), ("momentum", momentum), ("beta2", beta2)
        ):  # fmt: skip
            if getattr(self, name) == "auto":
                object.__setattr__(self, name, value)
        if isinstance(self.class_weights, list):
            object.__setattr__(self, "class_weights", tuple(self.class_weights))
        self._check_together()

    def _check_together(self) -> None:
        """Refuse settings that make no sense beside each other."""
        choosing = self.early_stopping > 0 or self.schedule.startswith("plateau")
        if choosing and self.validation == 0.0:
            name = "early_stopping" if self.early_stopping else "schedule plateau"
            raise InputError(
                f"{name} needs images to choose by: set validation, such as 0.1"
            )
        if self.momentum_schedule.startswith("plateau"):
            raise InputError("momentum_schedule cannot be plateau; the schedule can")
        if self.batch_norm and self.batch_size == 1:
            raise InputError("batch_norm needs a batch_size of 2 or more, not 1")


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
