"""Kinds of settings: numbers in a range, names from a list, notations.

Python, TOML and the command line use the same `Kind`, and so refuse the same values.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, NamedTuple

from nnx.maths.activations import ACTIVATIONS
from nnx.maths.hyperparameters import Distortion, Schedule
from nnx.maths.initializers import INITIALIZERS
from nnx.settings import notation, other_names

HIDDEN_LIMIT = 100_000
NO_NAMES: Mapping[str, str] = MappingProxyType({})
PANELS = "Data", "Network", "Optimization", "Regularization", "Run"


def _unchanged(value: Any) -> Any:
    return value


class Kind(NamedTuple):
    """The values that a setting may have.

    allowed: description of these values, for messages
    read: returns a value in its canonical form; raises ValueError for an invalid one,
        with a message if `allowed` does not say enough
    metavar: stands for the value in the command line's help
    parse: converts the command line's text to a value for `read`
    write: converts a value in canonical form to that in a settings file
    """

    allowed: str
    read: Callable[[Any], Any]
    metavar: str = "NAME"
    parse: Callable[[str], Any] = _unchanged
    write: Callable[[Any], Any] = _unchanged


class Row(NamedTuple):
    """A row of the table of settings, without the setting's name and type.

    default: as `kind.read` returns it
    panel: where the help shows it, one of `PANELS`
    help: a sentence or more for the command line and the guide
    """

    default: Any
    kind: Kind
    panel: str
    help: str


def _parse_number(text: str) -> float | str:
    """Return a number, or the text itself, which `Kind.read` then refuses."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _parse_numbers(text: str) -> tuple[float | str, ...] | str:
    """Return '128,64' as (128, 64), '' as (), and other text stripped."""
    numbers = tuple(_parse_number(part) for part in text.split(",") if part.strip())
    is_word = any(isinstance(number, str) for number in numbers)
    return text.strip() if is_word else numbers


def _require(right: bool) -> None:
    if not right:
        raise ValueError


def integer(low: int, high: int) -> Kind:
    """Return the kind of integers in [low, high]."""

    def read(value: Any) -> int:
        _require(type(value) is int and low <= value <= high)
        return int(value)

    return Kind(f"an integer from {low} to {high}", read, "N", _parse_number)


def number(allowed: str, holds: Callable[[float], bool]) -> Kind:
    """Return the kind of finite numbers for which `holds` is true."""

    def read(value: Any) -> float:
        _require(type(value) in (int, float) and -math.inf < value < math.inf)
        _require(holds(value))
        return float(value)

    return Kind(allowed, read, "X", _parse_number)


def several(allowed: str, item: Kind, metavar: str) -> Kind:
    """Return the kind of tuples, given as one value, as a list, or as text: 128,64."""

    def read(value: Any) -> tuple[Any, ...]:
        value = _parse_numbers(value) if isinstance(value, str) else value
        value = (value,) if type(value) in (int, float) else value
        _require(isinstance(value, list | tuple))
        return tuple(map(item.read, value))

    return Kind(allowed, read, metavar, _parse_numbers, list)


def or_word(kind: Kind, word: str) -> Kind:
    """Return a kind that also accepts a word."""

    def read(value: Any) -> Any:
        return word if isinstance(value, str) and value == word else kind.read(value)

    def write(value: Any) -> Any:
        return word if value == word else kind.write(value)

    return kind._replace(allowed=f"{kind.allowed}, or {word}", read=read, write=write)


def _nearest(name: str, known: Iterable[str], meaning: Mapping[str, str]) -> ValueError:
    """Return the error for an unknown name; it suggests the most similar known name."""
    near = get_close_matches(name.lower(), (*known, *meaning), n=1)
    return ValueError(*(f"did you mean {meaning.get(key, key)}?" for key in near))


def one_of(names: Collection[str], meaning: Mapping[str, str] = NO_NAMES) -> Kind:
    """Return the kind of names; meaning: of other names, accepted if it is in names."""
    known = *names, *(key for key, name in meaning.items() if name in names)

    def read(value: Any) -> str:
        _require(isinstance(value, str))
        if value not in known:
            raise _nearest(value, known, meaning)
        return str(meaning.get(value, value))

    return Kind("one of " + ", ".join(known), read)


def text(allowed: str, metavar: str, *, empty: bool = False) -> Kind:
    """Return the kind of texts that can be written as UTF-8; empty: allow ""."""

    def read(value: Any) -> str:
        _require(isinstance(value, str) and (empty or value != ""))
        value.encode()  # or ValueError
        return str(value)

    return Kind(allowed, read, metavar)


def names(
    allowed: str,
    holds: Callable[[str], bool],
    known: Iterable[str],
    meaning: Mapping[str, str],
) -> Kind:
    """Return the kind of one name for all layers, or one for each: "relu,tanh".

    known: names to suggest
    meaning: of other names, accepted if it holds, or else suggested
    """

    def read(value: Any) -> tuple[str, ...]:
        _require(isinstance(value, str | list | tuple))
        names = value.split(",") if isinstance(value, str) else value
        _require(all(isinstance(name, str) for name in names) and len(names) > 0)
        stripped = [name.replace(" ", "") for name in names]
        for name in stripped:
            if not holds(meaning.get(name, name)):
                raise _nearest(name, known, meaning)
        return tuple(meaning.get(name, name) for name in stripped)

    return Kind(allowed, read, "NAMES", write=",".join)


def _columns(value: Any) -> tuple[str, ...]:
    names = value.split(",") if isinstance(value, str) else value
    _require(isinstance(names, list | tuple))
    _require(all(isinstance(name, str) for name in names))
    return tuple(stripped for name in names if (stripped := name.strip()))


def record(
    allowed: str,
    metavar: str,
    made_of: Any,
    parse: Callable[[str], Any],
    check: Callable[[Any], None],
    write: Callable[[Any], str],
) -> Kind:
    """Return the kind of a record, given as such or as text in its notation."""

    def read(value: Any) -> Any:
        _require(isinstance(value, str | made_of))
        if not isinstance(value, str):
            check(value)
            value = write(value)  # drops numbers that have no effect
        made = parse(value)
        check(made)
        return made

    return Kind(allowed, read, metavar, write=write)


def schedule(*without: str) -> Kind:
    """Return the kind of schedules; without: names that its description omits."""
    words = [
        f"{name}:{','.join(numbers)}" if numbers else name
        for name, numbers in notation.SCHEDULES.items()
        if name not in without
    ]
    return record(
        ", ".join(words) + ", each also with warmup, as in cosine:warmup=2,to=0.001",
        "COURSE",
        Schedule,
        notation.schedule,
        notation.check_schedule,
        notation.schedule_text,
    )


def _flag(value: Any) -> bool:
    _require(isinstance(value, bool))
    return bool(value)


def _is_initializer(name: str) -> bool:
    family, colon, sigma = name.partition(":")
    if family != "normal":
        return name == "auto" or name in INITIALIZERS
    try:
        return bool(colon) and 0 < float(sigma) < math.inf
    except ValueError:
        return False


def data_type(names: Collection[str]) -> Kind:
    """Return the kind of these dtypes, given by name or as NumPy's types."""
    kind = one_of(names)

    def read(value: Any) -> Any:
        called = "__name__" if isinstance(value, type) else "name"
        return kind.read(getattr(value, called, value))

    return kind._replace(read=read)


FRACTION = number("a number at least 0 and below 1", lambda x: 0 <= x < 1)
FRACTION_OR_AUTO = or_word(FRACTION, "auto")
RATE = or_word(
    number("a number above 0 and up to 1000", lambda x: 0 < x <= 1000), "auto"
)
DROPOUT = number("a number from 0 to 0.99", lambda x: 0 <= x <= 0.99)
BOUND = number(
    "0, or a number from 0.000001 to 1000000", lambda x: x == 0 or 1e-6 <= x <= 1e6
)
SECONDS = number("seconds from 0.1 to 1000000", lambda x: 0.1 <= x <= 1e6)
COLUMNS = Kind(
    "names of a table's columns, separated by commas, or a list",
    _columns,
    "COLUMNS",
    write=list,
)
FLAG = Kind("true or false", _flag)
BATCH_SIZE = or_word(integer(1, 2**31 - 1), "full")
WINDOW = or_word(or_word(integer(1, 2**31 - 1), "all"), "auto")
WIDTHS = several(
    f"widths of hidden layers, each from 1 to {HIDDEN_LIMIT}, as in 128,64",
    integer(1, HIDDEN_LIMIT),
    "WIDTHS",
)
ACTIVATION = names(
    f"one of {', '.join(ACTIVATIONS)}, or one per hidden layer, separated by commas",
    ACTIVATIONS.__contains__,
    ACTIVATIONS,
    other_names.ACTIVATIONS | other_names.ACTIVATIONS_INSTEAD,
)
INITIALIZER = names(
    f"one of auto, {', '.join(INITIALIZERS)} or normal:σ with σ > 0, or one per layer, "
    "separated by commas",
    _is_initializer,
    ("auto", *INITIALIZERS, "normal:σ"),
    other_names.INITIALIZERS,
)
DISTORTION = record(
    "amounts of "
    + ", ".join(f"{k} up to {v:g}" for k, v in notation.LIMITS._asdict().items())
    + f' (from {notation.LEAST_SIGMA}), as in shift=2,rotation=15, or ""',
    "AMOUNTS",
    Distortion | None,
    notation.distortion,
    notation.check_distortion,
    notation.distortion_text,
)
