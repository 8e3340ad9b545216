"""A run's settings: checked, filled up, laid over each other, and written."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any, cast

from nnx.errors import InputError, in_few_words
from nnx.maths import schedules
from nnx.settings.other_names import ALSO_CALLED, OPTIONS, RENAMED
from nnx.settings.plain import plain
from nnx.settings.table import ROWS, Settings

# What "auto" is, by the optimizer; SGD's rate is multiplied by 1 - momentum, as its
# velocity is the sum of so many gradients.
AUTOMATIC = {
    "sgd": {"learning_rate": 0.2, "momentum": 0.0, "beta2": 0.0},
    "nesterov": {"learning_rate": 0.2, "momentum": 0.9, "beta2": 0.0},
    "adam": {"learning_rate": 0.001, "momentum": 0.9, "beta2": 0.999},
    "rmsprop": {"learning_rate": 0.001, "momentum": 0.0, "beta2": 0.99},
}


def regression_rate(sizes: Sequence[int]) -> float:
    """Return what the rate of SGD is multiplied from in a regression, if not given.

    The slope of a squared error has no bound, as that of a class's probability has:
    about the sum of squares of a layer's inputs is what a rate may be divided by. With
    inputs of deviation 1, these are at most as many as the network is wide.
    """
    return min(0.2, 1.0 / (sizes[0] + max(sizes[1:-1], default=0)))


def complete(
    values: Mapping[str, Any], source: str = "", *, rate: float | None = None
) -> Settings:
    """Return all settings of a run: these, and defaults for those not given.

    "auto" is a number then, and what is written in a notation is its record.

    values: by name, as they are written, or as this returned them
    source: the file they come from, for the error's words
    rate: what "auto" is for SGD in place of 0.2, as `regression_rate` gives it

    Raises:
        InputError: a setting that does not exist, may not have this value, or makes no
            sense beside another
    """
    with _naming(source):
        defaults = {name: row.default for name, row in ROWS.items()}
        settings = cast(Settings, defaults | _read(values))
        _fill_automatic(settings, rate)
        _check_together(settings)
    return settings


def layered(
    base: Mapping[str, Any], values: Mapping[str, Any], source: str = ""
) -> dict[str, Any]:
    """Return settings with others over them, which are checked by themselves.

    Another optimizer takes its own rates with it, as the old one's do not suit it.

    Raises:
        InputError: as for `complete`
    """
    with _naming(source):
        read = _read(values)
    before = _read({"optimizer": base.get("optimizer", ROWS["optimizer"].default)})
    if read.get("optimizer", before["optimizer"]) != before["optimizer"]:
        own = {*AUTOMATIC[before["optimizer"]], "momentum_schedule"}
        base = {name: value for name, value in base.items() if name not in own}
    return {**base, **read}


def as_text(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as a settings file has them; `complete` reads them again."""
    return {name: ROWS[name].kind.write(value) for name, value in settings.items()}


def as_option(name: str, value: Any) -> Any:
    """Return a value as the command's option takes it; a number stays a number."""
    written = as_text({name: value})[name]
    if isinstance(written, dict):
        return ",".join(f"{key}={_short(part)}" for key, part in written.items())
    return ",".join(map(_short, written)) if isinstance(written, list) else written


def _short(value: Any) -> str:
    """Return a value as text, a float without a fraction as in 2."""
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)


def suggestion(name: str) -> str | None:
    """Return the setting that is likely to be meant by a name that does not exist."""
    name = name.lower().replace("-", "_")
    near = get_close_matches(name, ROWS, n=1)
    return ALSO_CALLED.get(name) or (near[0] if near else None)


@contextmanager
def _naming(source: str) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise InputError(f"{source}: {error}" if source else str(error)) from None


def _read(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return each value in the one form that is worked with."""
    for name in values:
        if name not in ROWS:
            raise InputError(_unknown(name))
    return {name: read_value(name, value) for name, value in values.items()}


def read_value(name: str, value: Any) -> Any:
    """Return a setting's value in the one form that is worked with.

    Raises:
        InputError: one that it may not have
    """
    kind, value = ROWS[name].kind, plain(value)
    try:
        return kind.read(value)
    except InputError:
        raise
    except ValueError as error:
        why = f": {error}" if str(error) else ""
        given = in_few_words(value)
        raise InputError(f"{name} must be {kind.allowed}, not {given}{why}") from None


def _unknown(name: str) -> str:
    if name in OPTIONS:
        option = "--" + name.replace("_", "-")
        return f"{in_few_words(name)} is not a setting: give the command {option}"
    if name in RENAMED:
        return f"{name} is now called {RENAMED[name]}"
    near = suggestion(name) if isinstance(name, str) else None
    hint = f"did you mean {near}?" if near else f"there are {', '.join(ROWS)}"
    return f"no setting is called {in_few_words(name)}; {hint}"


def _fill_automatic(settings: Settings, sgd_rate: float | None) -> None:
    """Replace "auto" by the optimizer's numbers."""
    numbers: dict[str, Any] = cast(dict[str, Any], settings)
    optimizer = numbers["optimizer"]
    automatic = numbers["learning_rate"] == "auto"
    for name, usual in AUTOMATIC[optimizer].items():
        if numbers[name] == "auto":
            numbers[name] = usual
    if automatic and optimizer in ("sgd", "nesterov"):
        begins, epochs = numbers["momentum"], numbers["epochs"]
        ends = schedules.value(begins, epochs, numbers["momentum_schedule"], epochs)
        whole = numbers["learning_rate"] if sgd_rate is None else sgd_rate
        rate = whole * (1.0 - max(begins, ends))
        numbers["learning_rate"] = float(f"{rate:.12g}")


def _check_together(settings: Any) -> None:
    """Refuse settings that make no sense beside each other."""
    plateau = settings["schedule"].name == "plateau"
    held_out = settings["validation_fraction"] > 0.0
    if settings["validation_data"] and held_out:
        raise InputError(
            "validation_data and validation_fraction both set what to validate on: "
            "set one"
        )
    if (settings["patience"] or plateau) and not (
        held_out or settings["validation_data"]
    ):
        name = "patience" if settings["patience"] else "schedule plateau"
        raise InputError(
            f"{name} needs a validation set: set validation_fraction, such as 0.1, or "
            "give validation data"
        )
    course, optimizer = settings["momentum_schedule"], settings["optimizer"]
    if course.name == "plateau":
        raise InputError("momentum_schedule cannot be plateau; the schedule can")
    if course.to >= 1.0:
        raise InputError(f"momentum_schedule must end below 1, not at to={course.to:g}")
    if settings["beta2"] and not AUTOMATIC[optimizer]["beta2"]:
        raise InputError(
            f"beta2 is for adam and rmsprop; {optimizer} has none: leave out "
            f"{settings['beta2']}"
        )
    if settings["batch_norm"] and settings["batch_size"] == 1:
        raise InputError("batch_norm needs a batch_size of 2 or more, not 1")
