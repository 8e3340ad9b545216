"""Checking the options that determine how a table becomes a data set."""

from collections.abc import Collection, Mapping
from typing import Any

from nnx import files
from nnx.data.dataset import TableOptions
from nnx.errors import InputError, in_few_words
from nnx.settings.kinds import COLUMNS
from nnx.settings.table import ROWS
from nnx.settings.values import read_value


def checked(options: Mapping[str, Any]) -> TableOptions:
    """Return checked options; single names become tuples.

    Raises:
        InputError: an option does not exist, or has an invalid value
    """
    made = dict(options)
    for name, value in options.items():
        if name not in TableOptions._fields:
            raise InputError(
                f"no option of a table is called {in_few_words(name)}; there are "
                f"{', '.join(TableOptions._fields)}"
            )
        if ROWS[name].kind is COLUMNS:
            made[name] = _names(name, value)
        elif not name.endswith("_data"):
            made[name] = read_value(name, value)
        elif not isinstance(value, str) or value:
            made[name] = str(files.given(value, f"a table, as {name}"))
    return TableOptions(**made)


def _names(name: str, value: Any) -> tuple[str, ...]:
    """Return the names of columns; value: a collection of names, one name, or ""."""
    names = [value] if isinstance(value, str) and value else value
    if hasattr(names, "tolist"):  # an array, or an index
        names = names.tolist()
    if not isinstance(names, Collection) or not all(isinstance(e, str) for e in names):
        raise InputError(f"{name} must be names of columns, not {in_few_words(value)}")
    return tuple(names)


def refuse_contradictions(options: TableOptions) -> None:
    """Refuse options that contradict each other.

    Raises:
        InputError: a target is dropped or occurs twice, or a categorical column is
            dropped
    """
    target, drop = options.target, options.drop
    for name in target:
        if name in drop:
            raise InputError(f"{name!r} is the target, and also in drop: remove one")
        if target.count(name) > 1:
            raise InputError(f"target names {name!r} twice: name each column once")
    for name in options.categorical:
        if name in drop:
            raise InputError(
                f"{name!r} is in categorical, and also in drop: remove one"
            )
