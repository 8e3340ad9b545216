"""Checking, completing, layering and writing the settings of a run."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any, cast

from nnx.errors import InputError, in_few_words
from nnx.maths import schedules
from nnx.settings.other_names import ALSO_CALLED, OPTIONS, RENAMED
from nnx.settings.plain import plain
from nnx.settings.table import ROWS, Settings

# What "auto" means for each optimizer. SGD's rate is multiplied by 1 - momentum, as its
# velocity sums up about 1 / (1 - momentum) gradients.
AUTOMATIC = {
    "sgd": {"learning_rate": 0.2, "momentum": 0.0, "beta2": 0.0},
    "nesterov": {"learning_rate": 0.2, "momentum": 0.9, "beta2": 0.0},
    "adam": {"learning_rate": 0.001, "momentum": 0.9, "beta2": 0.999},
    "rmsprop": {"learning_rate": 0.001, "momentum": 0.0, "beta2": 0.99},
}


def regression_rate(sizes: Sequence[int]) -> float:
    """Return the default learning rate of SGD without momentum for a regression.

    Unlike that of cross-entropy, the gradient of a squared error is unbounded: the rate
    must stay below about 1 over the sum of squares of a layer's inputs. If these have
    standard deviation 1, that sum is about their number.

    sizes: features, hidden widths, and targets
    """
    return min(0.2, 1.0 / (sizes[0] + max(sizes[1:-1], default=0)))


def complete(
    values: Mapping[str, Any], source: str = "", *, rate: float | None = None
) -> Settings:
    """Return all settings of a run: these, and defaults for those not given.

    An "auto" in `AUTOMATIC` becomes a number, and text in a notation a record.

    values: by name, as in a settings file or as returned by this function
    source: the file they come from, for the error's message
    rate: what "auto" means for SGD instead of 0.2, see `regression_rate`

    Raises:
        InputError: a setting does not exist, has an invalid value, or contradicts
            another
    """
    with _errors_naming(source):
        defaults = {name: row.default for name, row in ROWS.items()}
        settings = cast(Settings, defaults | _read(values))
        _fill_automatic(settings, rate)
        _check_together(settings)
    return settings


def layered(
    base: Mapping[str, Any], values: Mapping[str, Any], source: str = ""
) -> dict[str, Any]:
    """Return the settings of base, replaced by those of values where given.

    Only values are checked, each by itself. If they change the optimizer, the learning
    rate, momentum, its schedule and beta2 of base are dropped: they suit the old one.

    Raises:
        InputError: as for `complete`
    """
    with _errors_naming(source):
        read = _read(values)
    before = _read({"optimizer": base.get("optimizer", ROWS["optimizer"].default)})
    if read.get("optimizer", before["optimizer"]) != before["optimizer"]:
        own = {*AUTOMATIC[before["optimizer"]], "momentum_schedule"}
        base = {name: value for name, value in base.items() if name not in own}
    return {**base, **read}


def as_text(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings in the form of a settings file, which `complete` reads."""
    return {name: ROWS[name].kind.write(value) for name, value in settings.items()}


def as_option(name: str, value: Any) -> Any:
    """Return a value as the command's option takes it; a number stays a number."""
    written = as_text({name: value})[name]
    if isinstance(written, dict):
        return ",".join(f"{key}={_short(part)}" for key, part in written.items())
    return ",".join(map(_short, written)) if isinstance(written, list) else written


def _short(value: Any) -> str:
    """Return a value as text; a float without a fraction as an integer."""
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)


def suggestion(name: str) -> str | None:
    """Return the setting most likely meant by an unknown name, or None."""
    name = name.lower().replace("-", "_")
    near = get_close_matches(name, ROWS, n=1)
    return ALSO_CALLED.get(name) or (near[0] if near else None)


@contextmanager
def _errors_naming(source: str) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise InputError(f"{source}: {error}" if source else str(error)) from None


def _read(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return each value in its canonical form; refuse unknown names."""
    for name in values:
        if name not in ROWS:
            raise InputError(_unknown(name))
    return {name: read_value(name, value) for name, value in values.items()}


def read_value(name: str, value: Any) -> Any:
    """Return a setting's value in its canonical form.

    Raises:
        InputError: the value is invalid
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
    if (option := ALSO_CALLED.get(name, name)) in OPTIONS:
        option = "--" + option.replace("_", "-")
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
    """Refuse settings that contradict each other."""
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
        those = " and ".join(name for name, own in AUTOMATIC.items() if own["beta2"])
        raise InputError(
            f"beta2 is for {those}; {optimizer} has none: leave out {settings['beta2']}"
        )
    if settings["batch_norm"] and settings["batch_size"] == 1:
        raise InputError("batch_norm needs a batch_size of 2 or more, not 1")
