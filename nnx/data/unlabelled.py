"""Reading rows to predict, in blocks, in the form that a network takes."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nnx.data import npz
from nnx.data.columns import features, numbers
from nnx.data.dataset import Array, Column, RawArray
from nnx.data.pixels import as_trained
from nnx.data.read_table import KINDS as TABLES
from nnx.data.read_table import read_blocks
from nnx.data.tabular import Table, Text
from nnx.errors import InputError

KINDS = (*TABLES, ".npz")
_BLOCK = 1 << 18  # pixels per block of an archive


class Block(NamedTuple):
    """Some of a file's rows.

    images: (n, features), in the form that a network takes
    ids: each row's field of the copied column; empty if there is none
    notes: remarks on decisions made while reading, a line each
    """

    images: Array
    ids: list[str]
    notes: tuple[str, ...] = ()


def of_columns(
    path: Path, columns: Sequence[Column], copied: str = ""
) -> Iterator[Block]:
    """Yield a table's rows for a network with these columns, which are found by name.

    copied: the name of a column whose fields are yielded unchanged, or ""

    Raises:
        InputError: the file is not a table, or as for `columns.features`
    """
    text = [column.name for column in columns if column.categories]
    needed = [column.name for column in columns]
    for table, ids in read_blocks(path, text=text, needed=needed, copied=copied):
        yield Block(features(columns, table), ids)


def of_pixels(
    path: Path, width: int, maximum: int, copied: str = ""
) -> Iterator[Block]:
    """Yield a file's rows for a network that takes `width` pixels, in the file's order.

    A column called label is left out.

    maximum: the value of a fully lit pixel in the training data
    copied: as for `of_columns`

    Raises:
        InputError: the rows have another width, or a value is not a pixel
    """
    divisor = 0
    parts = _archived(path) if path.suffix.lower() == ".npz" else _rows(path, copied)
    for part, ids, notes in parts:
        if part.values.shape[1] != width:
            more = " (--id names a column that is not a pixel)" if not copied else ""
            raise InputError(
                f"{path}: {part.values.shape[1]:,} columns of pixels; the network "
                f"takes {width:,}{more}"
            )
        before = divisor
        images, divisor = as_trained(part, maximum, divisor)
        if divisor != before:
            notes = (*notes, f"pixels are assumed to be from 0 to {divisor}")
        yield Block(images, ids, notes)


def _archived(path: Path) -> Iterator[tuple[RawArray, list[str], tuple[str, ...]]]:
    whole = npz.read_images(path)
    rows = max(1, _BLOCK // max(1, whole.values.shape[1]))
    if not len(whole.values):
        raise InputError(f"{path}: no rows")
    for first in range(0, len(whole.values), rows):

        def place(row: int, column: int, first: int = first) -> str:
            return whole.place(first + row, column)

        values = whole.values[first : first + rows]
        yield RawArray(values, whole.source, place), [], ()


def _rows(
    path: Path, copied: str
) -> Iterator[tuple[RawArray, list[str], tuple[str, ...]]]:
    notes: tuple[str, ...] = ()
    for i, (table, ids) in enumerate(read_blocks(path, copied=copied)):
        kept = [j for j, name in enumerate(table.names) if name.lower() != "label"]
        if not kept:
            raise InputError(f"{path}: no columns of pixels: give one for each pixel")
        if i == 0 and len(kept) < len(table.names):
            notes = ("the column label is left out",)
        yield _pixels(table, kept), ids, notes
        notes = ()


def _pixels(table: Table, kept: list[int]) -> RawArray:
    """Return some of a table's columns as numbers."""
    each, every = [table.values[i] for i in kept], np.arange(table.rows)
    if any(isinstance(values, Text) for values in each):
        each = [numbers(table, i, every) for i in kept]
    values = np.array(each).reshape(len(kept), -1).T

    def place(row: int, column: int) -> str:
        return table.place(row, kept[column])

    empty = np.isnan(values)
    if empty.any():
        row, column = divmod(int(empty.argmax()), len(kept))
        raise InputError(f"{place(row, column)}: empty field, where a pixel should be")
    return RawArray(values, table.source, place)
