"""The kind of the setting `class_weights`."""

from typing import Any

from nnx.settings.kinds import Kind, number, or_word, several

# Not 0: the loss of a batch with only classes of weight 0 would have no mean.
WEIGHT = number("a number from 0.000001 to 1000000", lambda x: 1e-6 <= x <= 1e6)
EACH = several(f"{WEIGHT.allowed} for each class", WEIGHT, "WEIGHTS")


def _read(value: Any) -> Any:
    """Return a tuple with the weight of each class, or weights by class name."""
    value = _parse(value) if isinstance(value, str) else value
    if not isinstance(value, dict):
        return EACH.read(value)
    named: dict[str, float] = {}
    for key, weight in value.items():
        is_whole = type(key) is float and key.is_integer()
        name = str(int(key) if is_whole else key)
        if not (is_whole or type(key) in (str, int, bool)) or not name:
            raise ValueError
        if name in named:
            raise ValueError(f"class {name} is given twice")
        named[name] = WEIGHT.read(weight)
    return named or ()


def _parse(text: str) -> Any:
    """Return "cat=2,7=0.5" as {"cat": 2, "7": 0.5}."""
    if "=" not in text:
        return EACH.parse(text)
    pairs = [part.rpartition("=") for part in text.split(",")]
    named = {name.strip(): WEIGHT.parse(weight) for name, _, weight in pairs}
    return named if len(named) == len(pairs) else text


def _write(value: Any) -> Any:
    return value if isinstance(value, dict) else EACH.write(value)


CLASS_WEIGHTS = or_word(
    Kind(
        f"{EACH.allowed}, or for some by name, as in cat=2,dog=0.5",
        _read,
        EACH.metavar,
        _parse,
        _write,
    ),
    "balanced",
)
