"""Data sets of CSV files: one with a label column, or a folder of four."""

from pathlib import Path

import numpy as np

from nnx.data.assemble import assemble
from nnx.data.dataset import Dataset
from nnx.data.found import Found, Part
from nnx.data.table import label_column, read
from nnx.errors import InputError

FOLDER = ("train_X.csv", "train_label.csv", "test_X.csv", "test_label.csv")


def load_file(path: Path, name: str) -> Dataset:
    """Return the samples of one CSV file, a tenth of them held out for testing.

    refused: a header without a column called label, anything but numbers
    """
    return assemble(name, _parted(path), None)


def load_folder(folder: Path, name: str) -> Dataset:
    """Return the samples of train_X, train_label, test_X and test_label in a folder.

    refused: a missing file, anything but numbers, counts that differ
    """
    missing = [file for file in FOLDER if not (folder / file).is_file()]
    if missing:
        raise InputError(f"{folder}: missing {', '.join(missing)}")
    found = []
    for file in FOLDER:
        table = read(folder / file)
        found.append(Found(table.values, str(folder / file), table.place))
    return assemble(name, Part(*found[:2]), Part(*found[2:]))


def _parted(path: Path) -> Part:
    """Return a table parted into its pixels and its column of labels."""
    header, values, place = read(path)
    label = label_column(header)
    if label is None:
        where = "its header has" if header else "without a header line it has"
        raise InputError(
            f"{path}: {where} no label column: usable for predict only; to train, "
            "name the column of the classes label in the first line"
        )
    if [name.lower() for name in header or ()].count("label") > 1:
        raise InputError(f"{path}: its header has more than one label column")
    source = str(path)
    return Part(
        Found(
            np.delete(values, label, axis=1),
            source,
            lambda row, pixel: place(row, pixel + (pixel >= label)),
        ),
        # A copy, because a view would keep the whole table in memory.
        Found(values[:, label].copy(), source, lambda row, _: place(row, label)),
    )
