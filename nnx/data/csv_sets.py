"""Data sets in CSV files: one file with a label column, or a folder of four files."""

from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from nnx.data.assemble import assemble
from nnx.data.csv_rows import CsvFile, examined, numbers, readable_text
from nnx.data.dataset import Array, Dataset, RawArray, RawSplit
from nnx.data.tabular import NoPicturesError, label_columns, written_number
from nnx.errors import InputError

FOLDER = ("train_X.csv", "train_label.csv", "test_X.csv", "test_label.csv")


def load_file(path: Path, name: str) -> Dataset:
    """Return the samples of one CSV file, with a tenth held out for testing.

    Raises:
        InputError: there is no column called label, or a field is not a number
    """
    file, blocks = _read(path)
    columns = label_columns(file.names)
    if not columns:
        where = "its header has" if file.named else "without a header line it has"
        raise NoPicturesError(
            f"{path}: {where} no label column: usable for predict only; to train, name "
            "the column of classes 'label' in the first line"
        )
    if len(columns) > 1:
        raise NoPicturesError(f"{path}: its header has more than one label column")
    label = columns[0]
    images = np.concatenate([np.delete(block, label, axis=1) for block in blocks])
    labels = np.concatenate([block[:, label] for block in blocks])

    def pixel_place(row: int, pixel: int) -> str:
        return _place(file, row, pixel + (pixel >= label))

    def label_place(row: int, _: int) -> str:
        return _place(file, row, label)

    split = RawSplit(
        RawArray(images, str(path), pixel_place),
        RawArray(labels, str(path), label_place),
    )
    return assemble(name, split, None)


def load_folder(folder: Path, name: str) -> Dataset:
    """Return the samples of train_X, train_label, test_X and test_label in a folder.

    Raises:
        InputError: a file is missing, a field is not a number, or the numbers of
            samples and labels differ
    """
    missing = [file for file in FOLDER if not (folder / file).is_file()]
    if missing:
        raise InputError(f"{folder}: missing {', '.join(missing)}")
    arrays = []
    for path in (folder / file for file in FOLDER):
        file, blocks = _read(path)
        place = partial(_place, file)
        arrays.append(RawArray(np.concatenate(blocks), str(path), place))
    return assemble(name, RawSplit(*arrays[:2]), RawSplit(*arrays[2:]))


def _read(path: Path) -> tuple[CsvFile, list[Array]]:
    """Return a CSV file and its numbers in blocks, (rows, columns) float32.

    Raises:
        InputError: there are no lines of numbers, lines have different lengths, or a
            field is not a number
    """
    with readable_text(path):
        file = examined(path)
        if not file.names:
            raise InputError(f"{path}: no samples: the file is empty")
        parsed, rows = list[Array](), 0
        for block in file.blocks(codes=()):
            values = _parsed(file, block, rows) if isinstance(block, list) else block
            with np.errstate(over="ignore"):  # gives infinity, which is refused later
                parsed.append(values.astype(np.float32))
            rows += len(block)
    if not rows:
        raise InputError(f"{path}: no samples: only a header line")
    return file, parsed


def _place(file: CsvFile, row: int, column: int) -> str:
    return f"{file.path}, line {file.line_of(file.named + row)}, column {column + 1}"


def _parsed(file: CsvFile, block: list[list[str]], first: int) -> Array:
    """Return the numbers of a block whose first row is row `first`."""
    try:
        return numbers([*chain.from_iterable(block)]).reshape(len(block), -1)
    except ValueError:  # for a field that is none, or has spaces not of ASCII
        values = np.empty((len(block), len(file.names)))
        for i, column in np.ndindex(values.shape):
            field = block[i][column].strip()
            number = written_number(field)
            if number is None:
                why = f"{field[:40]!a} is not a number" if field else "empty field"
                place = _place(file, first + i, column)
                raise NoPicturesError(f"{place}: {why}") from None
            values[i, column] = number
        return values
