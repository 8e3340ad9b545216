"""Mapped arrays in .npy files: a folder of four, or a single table.

A table is an array with named columns, stored row by row. What a header claims is
compared with the bytes in the file, and nothing that could run code is accepted.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np

from nnx.data import npz
from nnx.data.assemble import assemble
from nnx.data.dataset import Array, Dataset, RawArray, RawSplit
from nnx.data.limits import MAX_COLUMNS
from nnx.data.tabular import (
    NoPicturesError,
    Table,
    as_text,
    label_columns,
    wanted,
    wanted_in_blocks,
)
from nnx.errors import InputError, first_line
from nnx.files import readable

FOLDER = tuple(f"{key}.npy" for key in npz.KEYS)
# Bytes; NumPy's own limit is too small for the names of a picture's pixels.
MAX_HEADER, NUMPYS_HEADER = 1 << 20, 10_000
_BLOCK = 1 << 18  # fields read at once


def mapped(path: Path) -> Array:
    """Return the array in an .npy file, mapped read-only instead of being read.

    Raises:
        InputError: the file holds pickled objects or anything but numbers, is in
            Fortran order, or does not have the size that its header claims
    """
    with readable(path):
        shape, dtype, begins = _header(path)
        has = path.stat().st_size
        needs = begins + math.prod(shape) * dtype.itemsize
        if has != needs:
            what = "truncated" if has < needs else "trailing bytes"
            raise InputError(f"{path}: {what}: needs {needs} bytes, has {has}")
        if not shape or 0 in shape:
            raise InputError(f"{path}: no samples: an array of shape {shape}")
        return np.memmap(path, dtype, "r", offset=begins, shape=shape)


def _header(path: Path) -> tuple[tuple[int, ...], np.dtype, int]:
    """Return the checked header: the shape, the dtype, and the offset of the data."""
    with open(path, "rb") as file:
        try:
            version = np.lib.format.read_magic(file)
            if version not in _READERS:
                raise ValueError(f"format {version}, expected (1, 0) or (2, 0)")
            read = _READERS[version]
            shape, fortran, dtype = read(file, max_header_size=MAX_HEADER)
            npz.require_integers(shape)
        except OSError:
            raise
        except Exception as error:  # exceptions for forged headers are not documented
            why = first_line(error)
            raise InputError(f"{path}: not a whole .npy array ({why})") from None
        begins = file.tell()
    kinds = [dtype[name] for name in dtype.names] if dtype.names else [dtype]
    npz.require_numbers(str(path), kinds)
    if len(kinds) > MAX_COLUMNS:
        raise InputError(f"{path}: {len(kinds):,} columns; at most {MAX_COLUMNS:,}")
    if fortran and len(shape) > 1:
        raise InputError(
            f"{path}: is stored column by column (Fortran's order): save "
            "np.ascontiguousarray(array)"
        )
    if min(shape, default=0) < 0:
        raise InputError(f"{path}: not a whole .npy array (shape {shape})")
    return shape, dtype, begins


_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def load_folder(folder: Path, name: str) -> Dataset:
    """Return the samples of x_train, y_train, x_test and y_test in a folder.

    Without the last two, a tenth is held out for testing. Shapes are as for an .npz
    archive.

    Raises:
        InputError: a file is missing, `mapped` refuses one, or the numbers of samples
            and labels differ
    """
    keys = npz.keys_of([key for key in npz.KEYS if (folder / f"{key}.npy").is_file()])
    missing = [f"{key}.npy" for key in keys if not (folder / f"{key}.npy").is_file()]
    if missing:
        raise InputError(f"{folder}: missing {', '.join(missing)}")
    arrays = {key: mapped(folder / f"{key}.npy") for key in keys}
    for key, values in arrays.items():
        if values.dtype.names:
            raise InputError(f"{folder / key}.npy: named columns, expected numbers")
    return npz.assembled(folder, name, arrays)


def load_file(path: Path, name: str) -> Dataset:
    """Return the pictures of a table with a label column; a tenth is held out to test.

    Raises:
        InputError: `mapped` refuses the file, there is not one label column, or the
            pixels are not adjacent columns of one type
    """
    table = _table(path)
    names, kinds = table.dtype.names, table.dtype
    labels = label_columns(names)
    if len(labels) != 1:
        raise NoPicturesError(f"{path}: has {len(labels)} label columns, expected one")
    label = labels[0]
    pixels = [i for i in range(len(names)) if i != label]
    if not pixels:
        raise InputError(f"{path}: no samples: no column but the label")
    kind, begins = kinds[pixels[0]], kinds.fields[names[pixels[0]]][1]
    for beside, i in enumerate(pixels):
        at = kinds.fields[names[i]][1]
        if kinds[i] != kind or at != begins + beside * kind.itemsize:
            raise NoPicturesError(
                f"{path}: column {names[i][:40]!r} is not a pixel like the first: a "
                "picture is adjacent columns of one type, with a label before or "
                "after them, as nnx data convert writes it"
            )

    def place(row: int, column: int) -> str:
        return f"{path}, row {row + 1}, column {names[column][:40]!r}"

    picture = np.dtype(
        {
            "names": ["pixels"],
            "formats": [(kind, (len(pixels),))],
            "offsets": [begins],
            "itemsize": kinds.itemsize,
        }
    )
    images = RawArray(
        table.view(picture)["pixels"], str(path), lambda r, c: place(r, pixels[c])
    )
    numbers = np.array(table[names[label]])
    return assemble(
        name,
        RawSplit(images, RawArray(numbers, str(path), lambda r, _: place(r, label))),
        None,
    )


def read(
    path: Path,
    *,
    text: Collection[str] = (),
    only: Collection[str] | None = None,
    without: Collection[str] = (),
) -> Table:
    """Return the mapped columns of a table.

    Arguments as for `nnx.data.read_table.read_table`.
    """
    table = _table(path)
    names = table.dtype.names
    chosen = [names[i] for i in wanted(str(path), names, only, without)]
    return _columns(path, table, chosen, text, 0)


def read_blocks(
    path: Path,
    *,
    text: Collection[str] = (),
    needed: Collection[str] | None = None,
    copied: str = "",
) -> Iterator[tuple[Table, list[str]]]:
    """Yield a table's rows in blocks, each with the fields of the copied column.

    Arguments as for `nnx.data.read_table.read_blocks`.
    """
    table = _table(path)
    names = table.dtype.names
    chosen = [names[i] for i in wanted_in_blocks(str(path), names, needed, copied)]
    rows = max(1, _BLOCK // len(names))
    for first in range(0, len(table), rows):
        block = table[first : first + rows]
        ids = list(map(str, block[copied].tolist())) if copied else []
        yield _columns(path, np.array(block), chosen, text, first), ids


def _table(path: Path) -> Array:
    table = mapped(path)
    if not table.dtype.names or table.ndim != 1:
        raise InputError(
            f"{path}: not a table, but {table.dtype} of shape {table.shape}: columns "
            f"need names; or give a folder of {', '.join(FOLDER)}"
        )
    return table


def _columns(
    path: Path, table: Array, names: Sequence[str], text: Collection[str], first: int
) -> Table:
    """Return columns of some rows; first: the number of the first row in the file."""

    def place(row: int, column: int) -> str:
        return f"{path}, row {first + row + 1}, column {names[column][:40]!r}"

    values = (as_text(table[n]) if n in text else table[n] for n in names)
    return Table(str(path), tuple(names), tuple(values), place)
