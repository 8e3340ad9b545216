"""A table that was read into named columns, wherever it came from."""

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from nnx.data.dataset import Array
from nnx.errors import InputError

# Fields, in small letters, that say that there is nothing.
MISSING = "", "na", "n/a", "nan", "null"
_CODE = re.compile(r"[+-]?(0[0-9]+|[0-9]{16,})")
# Signs of money and percent; thousands with something between them; a decimal comma.
_OTHERWISE = re.compile(
    r"[+-]?\s?([$€£¥]\s?)?[+-]?"
    r"([0-9]{1,3}([,.'\u2019\s])[0-9]{3}(\3[0-9]{3})*|[0-9]+)"
    r"([.,][0-9]+)?\s?[%$€£¥]?"
)


class NoPicturesError(InputError):
    """What is no pictures with their labels, but may be a table of anything else."""


class Text(NamedTuple):
    """A column of text: what is said in it, and which of it each row says.

    values: the different texts, in any order
    codes: (n,), integers; the place in values, or -1 where the field is empty
    """

    values: tuple[str, ...]
    codes: Array


# (n,) integers, or floats with NaN where the field is empty; or text.
Values: TypeAlias = Any


class Table(NamedTuple):
    """A table that was read: named columns of numbers or of text.

    source: where it came from, in words
    names: of its columns, each once
    values: of each column: (n,) integers, floats with NaN for an empty field, or `Text`
    place: says where a field stands, by row and column, counted from 0
    notes: remarks on what was decided while reading, a line each
    """

    source: str
    names: tuple[str, ...]
    values: tuple[Values, ...]
    place: Callable[[int, int], str]
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """How many there are."""
        first = self.values[0]
        return len(first.codes if isinstance(first, Text) else first)

    def column(self, name: str) -> int:
        """Return which column is called so.

        Raises:
            InputError: none is
        """
        return self.places([name])[0]

    def places(self, names: Sequence[str]) -> list[int]:
        """Return which columns are called so.

        Raises:
            InputError: none is
        """
        require_columns(self.source, self.names, names)
        known = {name: i for i, name in enumerate(self.names)}
        return [known[name] for name in names]


def require_columns(source: str, names: Sequence[str], asked: Collection[str]) -> None:
    """Refuse a table of these columns that lacks one of those asked for."""
    there = set(names)
    for name in asked:
        if name not in there:
            hint = _of_pieces(name, names, asked)
            raise InputError(
                f"{source}: no column is called {name!r}; there are {listed(names)}"
                f"{hint}"
            )


def _of_pieces(name: str, names: Sequence[str], asked: Collection[str]) -> str:
    """Return what to do where a name is a piece of a column's that has a comma."""
    for whole in names:
        pieces = [piece.strip() for piece in whole.split(",")]
        if len(pieces) > 1 and name in pieces and {*pieces} <= {*asked}:
            quoted = json.dumps(whole[:40], ensure_ascii=False)
            return (
                f"; a comma stands between names: give {whole[:40]!r} in a list, as a "
                f"file for --config has it, [{quoted}]"
            )
    return ""


def wanted(
    source: str,
    names: Sequence[str],
    only: Collection[str] | None,
    without: Collection[str],
) -> list[int]:
    """Return the places of the columns to read; one without a name is not.

    only: names of those wanted; None is all
    without: names of those to leave out

    Raises:
        InputError: names that come twice, or of columns to leave out that are not there
    """
    require_columns(source, names, without)
    counts, left_out = Counter(names), {"", *without}
    kept = {*names} if only is None else {*only}
    places = [
        i for i, name in enumerate(names) if name in kept and name not in left_out
    ]
    for i in places:
        if counts[names[i]] > 1:
            raise InputError(
                f"{source}, column {i + 1}: another is called {names[i][:40]!r} too"
            )
    return places


def listed(names: Sequence[str]) -> str:
    """Return the first names as an error's line shows them."""
    shown = ", ".join(repr(name[:40]) for name in names[:10])
    return shown + (", …" if len(names) > 10 else "")


def number(text: str) -> float | None:
    """Return a field as a number, NaN where it is empty; None, it is text."""
    return np.nan if text.lower() in MISSING else written_number(text)


def written_number(text: str) -> float | None:
    """Return the number that is written in a field, as NumPy reads it, or None."""
    try:
        # int and float take 1_000 and ١٢, which no other program would.
        return float(text) if text.isascii() and "_" not in text else None
    except ValueError:
        return None


def written_otherwise(text: str) -> bool:
    """Return whether text would be a number with a point alone: 3,4, $1,234.50, 5%."""
    return number(text) is None and bool(_OTHERWISE.fullmatch(text))


def is_code(field: str) -> bool:
    """Return whether a whole number is another text as a float: 007, 2⁵³ + 1."""
    whole = field.strip()
    return bool(_CODE.fullmatch(whole)) and as_field(float(whole)) != whole


def text_column(fields: Sequence[str], codes: Array) -> Text:
    """Return a column of text; fields that differ in spaces alone are one.

    fields: what may be said in it, also what stands for nothing
    codes: (n,), the place in fields, or -1
    """
    said = [field.strip() for field in fields]
    texts = [text for text in dict.fromkeys(said) if text.lower() not in MISSING]
    places = {text: i for i, text in enumerate(texts)}
    lookup = np.array([*(places.get(text, -1) for text in said), -1], np.int32)
    return Text(tuple(texts), lookup[codes])


def as_text(values: Values) -> Text:
    """Return a column as one of text; whole numbers are written without a point."""
    if isinstance(values, Text):
        return values
    different, codes = np.unique(values, return_inverse=True)
    return text_column([as_field(value) for value in different], codes)


def as_field(value: float) -> str:
    """Return a number as the shortest text that is read as it."""
    if isinstance(value, int):
        return str(value)
    whole = np.isfinite(value) and value == np.rint(value)
    return str(int(value)) if whole else repr(float(value))
