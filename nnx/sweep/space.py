"""A sweep's space: the settings in which trials differ, and their possible values.

In TOML, a list gives choices, and a table gives a range of numbers:

    hidden = ["128", "256,128"]
    learning_rate = { low = 1e-4, high = 1e-1, log = true }
    dropout = { low = 0.0, high = 0.5, step = 0.1 }
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from decimal import Decimal
from difflib import get_close_matches
from itertools import chain, combinations, product
from pathlib import Path
from typing import Any, NamedTuple

from nnx import files
from nnx.errors import InputError, in_few_words
from nnx.settings import ROWS, complete, layered
from nnx.settings.other_names import OPTIONS
from nnx.settings.values import as_option, read_value

HOW = "a list of choices, or { low = …, high = … }"
# The most steps between 0 and a range's numbers. With more, rounding errors exceed what
# Optuna allows.
FINEST = 10**7
# Settings in the panels SAME (data, backend, seed, checkpoints) are the same in all
# trials, except for those in SEARCHED.
SAME, SEARCHED = ("Data", "Run"), ("augment", "pixels")
OF_ORIGIN = "hidden", "activation", "init", "dtype", "pixels"


class Range(NamedTuple):
    """Numbers from low to high, both included; integers if both are integers.

    log: whether the logarithms are drawn uniformly
    step: distance between the numbers; None: any number
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    @property
    def whole(self) -> bool:
        """Whether the numbers are integers."""
        return isinstance(self.low, int)

    @property
    def size(self) -> float:
        """Number of possible values; infinity for floats without a step."""
        if self.whole or self.step is not None:
            return round((self.high - self.low) / (self.step or 1)) + 1
        return math.inf


# A setting's values, by their representation in TOML and in the study's file.
Choices = dict[Any, Any]
Space = dict[str, Range | Choices]


def load(path: Path, base: Mapping[str, Any]) -> Space:
    """Return the space in a TOML file.

    base: settings of all trials, as given

    Raises:
        InputError: a name or a value is invalid, a setting must be the same in all
            trials, or values contradict each other or the base
    """
    given = files.read_toml(path)
    if not given:
        raise InputError(f"{path}: names no setting to search, as in epochs = [10, 20]")
    try:
        space = {name: _searched(name, value, base) for name, value in given.items()}
        _check_together(space, base)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return space


def settings_of(space: Space, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a trial's settings from its parameters in the study."""
    return {
        name: values[params[name]] if isinstance(values, dict) else params[name]
        for name, values in space.items()
    }


def as_table(space: Space) -> dict[str, Any]:
    """Return a space in the form of a TOML file."""
    return {
        name: [*values]
        if isinstance(values, dict)
        else {key: v for key, v in values._asdict().items() if v is not None}
        for name, values in space.items()
    }


def size(space: Space) -> float:
    """Return the number of combinations."""
    counts = [len(s) if isinstance(s, dict) else s.size for s in space.values()]
    return math.prod(counts)


def ends(space: Space) -> list[dict[str, Any]]:
    """Return two combinations: all first values, and all last values."""
    values = {name: _corners(each) for name, each in space.items()}
    return [{name: each[i] for name, each in values.items()} for i in (0, -1)]


def covering(space: Space, count: int) -> Iterator[dict[str, Any]]:
    """Yield all combinations of the values of any `count` settings.

    Of a range, only the ends are taken; other settings have their first values. Groups
    of settings with few combinations come first.
    """
    values = {name: _corners(each) for name, each in space.items()}
    first = {name: each[0] for name, each in values.items()}
    groups = sorted(
        combinations(space, count),
        key=lambda names: math.prod(len(values[name]) for name in names),
    )
    for names in groups:
        for chosen in product(*(values[name] for name in names)):
            yield first | dict(zip(names, chosen, strict=True))


def _searched(name: str, value: Any, base: Mapping[str, Any]) -> Range | Choices:
    """Return the range or the choices of one setting."""
    _check_name(name, base)
    if isinstance(value, list):
        return _choices(name, value)
    if isinstance(value, dict):
        return _range(name, value)
    raise InputError(
        f"{name} = {in_few_words(value)} cannot be searched: give {HOW}; what is the "
        "same in all trials belongs in the run's settings"
    )


def _check_name(name: str, base: Mapping[str, Any]) -> None:
    """Refuse a name that is not a setting, or must be the same in all trials."""
    row = ROWS.get(name)
    if row is None and name not in OPTIONS:
        layered({}, {name: None})  # raises an error that suggests similar names
    differs = row is not None and (row.panel not in SAME or name in SEARCHED)
    if not differs or name == "from":
        seeds = ": --seeds trains with several" if name == "seed" else ""
        raise InputError(f"{name} is the same in all trials{seeds}; leave it out")
    if base.get("from") and name in OF_ORIGIN:
        raise InputError(f"{name} comes with the network given by from; leave it out")


def _choices(name: str, listed: list[Any]) -> Choices:
    """Return values by label; listed: each in the form of a file or of an option."""
    if not listed:
        raise InputError(f"{name} has no choices: give {HOW}")
    choices: Choices = {}
    for choice in listed:
        parse = ROWS[name].kind.parse
        value = read_value(name, parse(choice) if isinstance(choice, str) else choice)
        if value in choices.values():
            raise InputError(f"{name} has the choice {in_few_words(choice)} twice")
        choices[as_option(name, value)] = value
    return choices


def _range(name: str, table: dict[str, Any]) -> Range:
    for key in table:
        if key not in Range._fields:
            near = get_close_matches(key, Range._fields, n=1)
            hint = f"; did you mean {near[0]}?" if near else f": give {HOW}"
            raise InputError(f"{name} has no {in_few_words(key)}{hint}")
    if not {"low", "high"} <= table.keys():
        raise InputError(f"{name} needs both low and high")
    low, high = (read_value(name, table[end]) for end in ("low", "high"))
    if not all(type(end) in (int, float) for end in (low, high)):
        raise InputError(f"{name} has no range of numbers: give a list of choices")
    if low >= high:
        raise InputError(f"{name}: low must be below high, not {low} and {high}")
    spread = Range(low, high, table.get("log", False), table.get("step"))
    _check_log(name, spread)
    _check_step(name, spread)
    return spread


def _check_log(name: str, spread: Range) -> None:
    if type(spread.log) is not bool:
        raise InputError(
            f"{name}: log is true or false, not {in_few_words(spread.log)}"
        )
    if spread.log and spread.low <= 0:
        raise InputError(f"{name}: with log, low must be above 0, not {spread.low}")
    if spread.log and spread.step is not None:
        raise InputError(f"{name}: a range has a step or log, not both")


def _check_step(name: str, spread: Range) -> None:
    """Refuse a step that does not divide high - low, or is too fine for floats."""
    step = spread.step
    if step is None:
        return
    kinds = (int,) if spread.whole else (int, float)
    with suppress(ArithmeticError):  # caused by steps like 1e-300
        width = Decimal(str(spread.high)) - Decimal(str(spread.low))
        if type(step) in kinds and step > 0 and width % Decimal(str(step)) == 0:
            _check_fineness(name, spread, step)
            return
    raise InputError(
        f"{name}: step {in_few_words(step)} does not lead from {spread.low} to "
        f"{spread.high}"
    )


def _check_fineness(name: str, spread: Range, step: float) -> None:
    largest = max(abs(spread.low), abs(spread.high))
    if not spread.whole and largest > FINEST * step:
        raise InputError(
            f"{name}: step {step} is too fine for numbers up to {largest}: leave it out"
        )


def _corners(values: Range | Choices) -> list[Any]:
    if isinstance(values, dict):
        return list(values.values())
    return [values.low, values.high]


def _check_together(space: Space, base: Mapping[str, Any]) -> None:
    """Refuse settings whose values contradict each other in some trial."""
    for chosen in chain(covering(space, 1), covering(space, 2)):
        complete(layered(base, chosen))
