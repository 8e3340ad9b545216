"""What every setting may be, in one table.

It serves the Python functions, the command line and TOML files, so that a value out of
range is refused alike everywhere.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from nnx.errors import InputError
from nnx.maths.activations import ACTIVATIONS
from nnx.maths.initializers import INITIALIZERS
from nnx.notation import COURSES, LEAST_SIGMA, MOST, distortion_from, schedule_from

DTYPES = "float32", "float64"
PIXELS = "unit", "raw"
PRECISIONS = "full", "tf32"
OPTIMIZERS = "sgd", "nesterov", "adam", "adamw", "rmsprop"
HIDDEN_LIMIT = 100_000


class Rule(NamedTuple):
    """What a setting may be, in words and as a test.

    holds: may raise a ValueError that says what is wrong
    """

    allowed: str
    holds: Callable[[Any], bool]


def _integer(low: int, high: int) -> Rule:
    def holds(value: Any) -> bool:
        return type(value) is int and low <= value <= high

    return Rule(f"an integer from {low} to {high}", holds)


def _number(allowed: str, holds: Callable[[float], bool]) -> Rule:
    def both(value: Any) -> bool:
        if type(value) not in (int, float):
            return False
        return -math.inf < value < math.inf and holds(value)

    return Rule(allowed, both)


def _one_of(names: Any) -> Rule:
    return Rule("one of " + ", ".join(names), lambda value: value in tuple(names))


def _text(allowed: str) -> Rule:
    return Rule(allowed, lambda value: _is_text(value) and value != "")


def _is_text(value: Any) -> bool:
    """Return whether a settings file, which is UTF-8, can hold this text."""
    if isinstance(value, str):
        value.encode()  # or ValueError
    return isinstance(value, str)


def _is_batch_size(value: Any) -> bool:
    return value == "full" or (type(value) is int and 1 <= value < 2**31)


def _is_hidden(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(
        type(width) is int and 1 <= width <= HIDDEN_LIMIT for width in value
    )


def _is_activation(value: Any) -> bool:
    return isinstance(value, str) and set(value.split(",")) <= set(ACTIVATIONS)


def _is_text_for(read: Callable[[str], object]) -> Callable[[Any], bool]:
    def holds(value: Any) -> bool:
        if isinstance(value, str):
            read(value)
        return isinstance(value, str)

    return holds


def _is_class_weights(value: Any) -> bool:
    # A batch of classes that count nothing would have no mean.
    return value == "balanced" or (
        isinstance(value, list | tuple)
        and all(type(w) in (int, float) and 1e-6 <= w <= 1e6 for w in value)
    )


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
_DROPPED = _number("a number from 0 to 0.99", lambda value: 0 <= value <= 0.99)
_BOUND = _number(
    "0, or a number from 0.000001 to 1000000",
    lambda value: value == 0 or 1e-6 <= value <= 1e6,
)


def _course(*left_out: str) -> Rule:
    words = [
        f"{name}:{','.join(keys)}" if keys else name
        for name, keys in COURSES.items()
        if name not in left_out
    ]
    usage = ", any with warmup too, as in cosine:warmup=2,to=0.001"
    return Rule(", ".join(words) + usage, _is_text_for(schedule_from))


def _or_auto(rule: Rule) -> Rule:
    return Rule(
        f"{rule.allowed}, or auto", lambda value: value == "auto" or rule.holds(value)
    )


RULES = {
    "dataset": _text("the name of a dataset or a path"),
    "data_dir": Rule("a path", _is_text),
    "backend": _text("the name of a backend"),
    "hidden": Rule(
        f"widths of hidden layers, each from 1 to {HIDDEN_LIMIT}, as in 128,64",
        _is_hidden,
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
    "batch_size": Rule("an integer from 1 to 2147483647, or full", _is_batch_size),
    "optimizer": _one_of(OPTIMIZERS),
    "learning_rate": _or_auto(
        _number("a number above 0 and up to 1000", lambda value: 0 < value <= 1000)
    ),
    "momentum": _or_auto(_SHARE),
    "beta2": _or_auto(_SHARE),
    "schedule": _course(),
    "momentum_schedule": _course("plateau"),
    "l1": _SHARE,
    "l2": _SHARE,
    "weight_decay": _SHARE,
    "clip_norm": _BOUND,
    "max_norm": _BOUND,
    "input_dropout": _DROPPED,
    "dropout": _DROPPED,
    "batch_norm": Rule("true or false", lambda value: isinstance(value, bool)),
    "label_smoothing": _SHARE,
    "class_weights": Rule(
        "a number from 0.000001 to 1000000 for each class, or balanced",
        _is_class_weights,
    ),
    "averaging": _SHARE,
    "validation": _SHARE,
    "early_stopping": _integer(0, 10**6),
    "augment": Rule(
        "amounts of "
        + ", ".join(f"{name} up to {most:g}" for name, most in MOST._asdict().items())
        + f' (from {LEAST_SIGMA}), as in shift=2,rotation=15, or ""',
        _is_text_for(distortion_from),
    ),
    "pixels": _one_of(PIXELS),
    "seed": _integer(0, 2**63 - 1),
}


def check(name: str, value: Any) -> None:
    """Refuse a value that the setting may not have."""
    try:
        right, why = RULES[name].holds(value), ""
    except ValueError as error:
        right, why = False, f": {error}"
    if not right:
        raise InputError(f"{name} must be {RULES[name].allowed}, not {value!r}{why}")
