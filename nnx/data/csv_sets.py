"""Data sets in CSV files: one file with a label column, or a folder of four files."""

from pathlib import Path

import numpy as np

from nnx.data.assemble import assemble
from nnx.data.dataset import Dataset, RawArray, RawSplit
from nnx.data.table import read
from nnx.data.tabular import NoPicturesError, label_columns
from nnx.errors import InputError

FOLDER = ("train_X.csv", "train_label.csv", "test_X.csv", "test_label.csv")


def load_file(path: Path, name: str) -> Dataset:
    """Return the samples of one CSV file, with a tenth held out for testing.

    Raises:
        InputError: there is no column called label, or a field is not a number
    """
    header, (values, source, place) = read(path)
    columns = label_columns(header)
    if not columns:
        where = "its header has" if header else "without a header line it has"
        raise NoPicturesError(
            f"{path}: {where} no label column: usable for predict only; to train, name "
            "the column of classes 'label' in the first line"
        )
    if len(columns) > 1:
        raise NoPicturesError(f"{path}: its header has more than one label column")
    label = columns[0]
    images = RawArray(
        np.delete(values, label, axis=1),
        source,
        lambda row, pixel: place(row, pixel + (pixel >= label)),
    )
    # Copied, because a view would keep the whole table in memory.
    labels = RawArray(values[:, label].copy(), source, lambda row, _: place(row, label))
    return assemble(name, RawSplit(images, labels), None)


def load_folder(folder: Path, name: str) -> Dataset:
    """Return the samples of train_X, train_label, test_X and test_label in a folder.

    Raises:
        InputError: a file is missing, a field is not a number, or the numbers of
            samples and labels differ
    """
    missing = [file for file in FOLDER if not (folder / file).is_file()]
    if missing:
        raise InputError(f"{folder}: missing {', '.join(missing)}")
    arrays = [read(folder / file)[1] for file in FOLDER]
    return assemble(name, RawSplit(*arrays[:2]), RawSplit(*arrays[2:]))
