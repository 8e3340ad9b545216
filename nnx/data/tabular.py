"""A table with named columns, read from any source."""

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from nnx.data.dataset import Array
from nnx.errors import InputError, nearest

# Fields that mean a missing value, in lower case.
MISSING = "", "na", "n/a", "nan", "null"
_CODE = re.compile(r"[+-]?(0[0-9]+|[0-9]{16,})")
# Numbers with a currency or percent sign or a unit, separated thousands, or a decimal
# comma.
_OTHERWISE = re.compile(
    r"[+-]?\s?([$€£¥]\s?)?[+-]?"
    r"([0-9]{1,3}([,.'\u2019\s])[0-9]{3}(\3[0-9]{3})*|[0-9]+)"
    r"([.,][0-9]+)?\s?([%$€£¥]?|(?P<unit>[^\W\d_]\S*))"
)


class NoPicturesError(InputError):
    """The data are not labeled pictures, but may be another kind of table."""


class Text(NamedTuple):
    """A column of text.

    values: the different texts, in any order
    codes: (n,), integers; each row's index in values, or -1 for an empty field
    """

    values: tuple[str, ...]
    codes: Array


# A column: (n,) integers, or floats with NaN for an empty field; or `Text`.
Values: TypeAlias = Any


class Table(NamedTuple):
    """A table with named columns of numbers or text.

    source: description of its origin
    names: of the columns, all different
    values: per column (n,) integers, floats with NaN for an empty field, or `Text`
    place: returns the place of a field, by row and column, counted from 0
    notes: remarks on decisions made while reading, a line each
    """

    source: str
    names: tuple[str, ...]
    values: tuple[Values, ...]
    place: Callable[[int, int], str]
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Number of rows."""
        return length(self.values[0])

    def column(self, name: str) -> int:
        """Return the index of the column with this name.

        Raises:
            InputError: there is none
        """
        return self.indices([name])[0]

    def indices(self, names: Sequence[str]) -> list[int]:
        """Return the indices of the columns with these names.

        Raises:
            InputError: there is no column of one of the names
        """
        require_columns(self.source, self.names, names)
        known = {name: i for i, name in enumerate(self.names)}
        return [known[name] for name in names]


def length(values: Values) -> int:
    """Return the number of a column's fields."""
    return len(values.codes if isinstance(values, Text) else values)


def are_empty(values: Values) -> Array:
    """Return which fields of a column are empty, (n,) bool."""
    return values.codes < 0 if isinstance(values, Text) else np.isnan(values)


def require_columns(source: str, names: Sequence[str], asked: Collection[str]) -> None:
    """Refuse a table that lacks one of the columns asked for; names: its columns."""
    present = set(names)
    for name in asked:
        if name not in present:
            near = nearest(name, names[:1000])
            meant = f"; did you mean {near[:40]!r}?" if near else ""
            hint = _of_pieces(name, names, asked) or meant
            raise InputError(
                f"{source}: no column is called {name!r}; there are {listed(names)}"
                f"{hint}"
            )


def _of_pieces(name: str, names: Sequence[str], asked: Collection[str]) -> str:
    """Return advice if a name is a piece of a column's name with commas, or ""."""
    for whole in names:
        pieces = [piece.strip() for piece in whole.split(",")]
        if len(pieces) > 1 and name in pieces and {*pieces} <= {*asked}:
            quoted = json.dumps(whole[:40], ensure_ascii=False)
            return (
                f"; commas separate names: give {whole[:40]!r} in a list, as in a file "
                f"for --config, [{quoted}]"
            )
    return ""


def wanted(
    source: str,
    names: Sequence[str],
    only: Collection[str] | None,
    without: Collection[str],
) -> list[int]:
    """Return the indices of the columns to read; columns without a name are left out.

    only: names of the columns to read; None: all
    without: names of columns to leave out

    Raises:
        InputError: a name occurs twice, or a column to read or to leave out does not
            exist
    """
    require_columns(source, names, [*without, *(only or ())])
    counts, left_out = Counter(names), {"", *without}
    chosen = {*names} if only is None else {*only}
    indices = [
        i for i, name in enumerate(names) if name in chosen and name not in left_out
    ]
    for i in indices:
        if counts[names[i]] > 1:
            raise InputError(
                f"{source}, column {i + 1}: another one is also called "
                f"{names[i][:40]!r}"
            )
    return indices


def wanted_in_blocks(
    source: str,
    names: Sequence[str],
    needed: Collection[str] | None,
    copied: str,
    index: Collection[str] = (),
) -> list[int]:
    """Return the indices of the columns to read; not the copied one, unless needed.

    needed, copied: as for `read_table.read_blocks`
    index: names of columns to leave out unless they are needed

    Raises:
        InputError: a needed column or the copied one does not exist, or its name
            occurs twice
    """
    beside = [copied] if copied else []
    require_columns(source, names, [*(needed or ()), *beside])
    wanted(source, names, beside, ())  # refuses a second one of its name
    return wanted(source, names, needed, {*beside, *index} - {*(needed or ())})


def label_columns(names: Sequence[str]) -> list[int]:
    """Return the indices of the columns called "label", in any case."""
    return [i for i, name in enumerate(names) if name.lower() == "label"]


def listed(names: Sequence[str]) -> str:
    """Return the first names, as shown in messages."""
    shown = ", ".join(repr(name[:40]) for name in names[:10])
    return shown + (", …" if len(names) > 10 else "")


def number(text: str) -> float | None:
    """Return a field as a number, NaN if it is empty, or None if it is text."""
    return np.nan if text.lower() in MISSING else written_number(text)


def written_number(text: str) -> float | None:
    """Return the number in a field, read as by NumPy, or None."""
    try:
        # float accepts 1_000 and ١٢, which other programs do not take for numbers.
        return float(text) if text.isascii() and "_" not in text else None
    except ValueError:
        return None


def unit_of(text: str) -> str | None:
    """Return the unit of a number in another notation, "" for none, or None for others.

    A unit is a word, as in 95 m². Numbers without are 3,4, $1,234.50 and 5%.
    """
    match = _OTHERWISE.fullmatch(text) if number(text) is None else None
    return None if match is None else match["unit"] or ""


def is_code(field: str) -> bool:
    """Return whether a whole number's text would change as a float: 007, 2⁵³ + 1."""
    whole = field.strip()
    return bool(_CODE.fullmatch(whole)) and as_field(float(whole)) != whole


def text_column(fields: Sequence[str], codes: Array) -> Text:
    """Return a column of text; surrounding spaces in fields are ignored.

    fields: the different fields, including those that mean a missing value
    codes: (n,), each row's index in fields, or -1
    """
    said = [field.strip() for field in fields]
    texts = [text for text in dict.fromkeys(said) if text.lower() not in MISSING]
    index_by_text = {text: i for i, text in enumerate(texts)}
    lookup = np.array([*(index_by_text.get(text, -1) for text in said), -1], np.int32)
    return Text(tuple(texts), lookup[codes])


def as_text(values: Values) -> Text:
    """Return a column as text; whole numbers are written without a point."""
    if isinstance(values, Text):
        return values
    different, codes = np.unique(values, return_inverse=True)
    return text_column([as_field(value) for value in different], codes)


def index_by_name(names: Sequence[str]) -> dict[str, int]:
    """Return each name's index; false and true also as FALSE, False and so on."""
    spellings = [{name} for name in names]
    if [name.lower() for name in names] == ["false", "true"]:
        spellings = [{n, n.lower(), n.upper(), n.capitalize()} for n in names]
    return {text: i for i, texts in enumerate(spellings) for text in texts}


def as_field(value: float) -> str:
    """Return text that reads as exactly this number; whole ones without a point."""
    if isinstance(value, int):
        return str(value)
    whole = np.isfinite(value) and value == np.rint(value)
    return str(int(value)) if whole else repr(float(value))
