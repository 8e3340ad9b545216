"""Reading a table as the one that a network was trained on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nnx.data.dataset import Column, Dataset, TableOptions
from nnx.data.read_table import read_table
from nnx.data.split import made_like
from nnx.data.table_set import held_out, split_of
from nnx.data.tabular import Table, as_field, number
from nnx.data.targets import Aim
from nnx.errors import InputError

# Options that a trained network, or its data set, determines for other tables.
AS_TRAINED = "task", "drop", "categorical", "missing", "standardize"
_NOTE = "columns, scales, categories and classes are the trained network's"


def aim_of(like: Any, target: Sequence[str]) -> Aim:
    """Return the aim of a network or of a data set.

    target: the name of the column of classes, which a network does not store
    """
    names = (like.options.target if isinstance(like, Dataset) else ()) or target
    if like.targets:
        names = [target.name for target in like.targets]
    elif like.task == "multilabel":
        names = like.classes
    return Aim(tuple(names), like.task, like.classes, like.targets)


def load_like(path: Path, like: Any, target: Sequence[str] = ()) -> Dataset:
    """Return all rows of a table, to test a network that was trained on another table.

    like: the network, or a data set
    target: the name of the column of classes, which a network does not store

    Raises:
        InputError: the target is not theirs, a column is missing, or the network cannot
            take a row
    """
    aim = _checked_aim(path, like, target)
    split = split_of(_read(path, like, aim), like.columns, aim)
    named = {"source": str(path.absolute()), "options": TableOptions(target=aim.names)}
    return made_like(like, path.stem, split, split, **named)


def load_parts_like(path: Path, like: Any, options: TableOptions) -> Dataset:
    """Return a table with training and test parts, to train a network further.

    The rows held out are those of `load_table`.

    like: the network, or a data set
    options: only target, test_data and validation_data are used

    Raises:
        InputError: as for `load_like`
    """
    aim = _checked_aim(path, like, options.target)
    table, columns = _read(path, like, aim), like.columns
    own = [column.name for column in columns]
    text = [column.name for column in columns if column.categories]
    text += aim.names if like.task == "classification" else ()
    has_test = bool(options.test_data)
    rows, test_rows, notes = held_out(table, own, text, has_test)
    parts = {
        part: split_of(_read(Path(other), like, aim), columns, aim)
        for part in ("test", "validation")
        if (other := getattr(options, f"{part}_data"))
    }
    return made_like(
        like,
        path.stem,
        split_of(table, columns, aim, rows),
        parts.get("test") or split_of(table, columns, aim, test_rows),
        notes=(*table.notes, _NOTE, *notes),
        source=str(path.absolute()),
        validation=parts.get("validation"),
        options=options._replace(target=aim.names),
    )


def _checked_aim(path: Path, like: Any, target: Sequence[str]) -> Aim:
    aim = aim_of(like, target)
    if not aim.names:
        raise InputError(
            f"{path}: the column of classes is not known: give it as target"
        )
    if target and {*target} != {*aim.names}:
        own, given = (", ".join(names) for names in (aim.names, target))
        raise InputError(f"{path}: the network predicts {own}, not {given}")
    return aim


def _read(path: Path, like: Any, aim: Aim) -> Table:
    columns: Sequence[Column] = like.columns
    text = [column.name for column in columns if column.categories]
    if like.task == "classification" and not all(map(_is_plain, like.classes)):
        text += aim.names
    names = [*aim.names, *(column.name for column in columns)]
    return read_table(path, text=text, only=names)


def _is_plain(name: str) -> bool:
    """Return whether a class's name is a number in its usual notation."""
    value = number(name)
    return value is not None and as_field(value) == name
