"""A digest that identifies a data set by its content."""

import hashlib
import json
from itertools import chain

import numpy as np

from nnx.data.dataset import Dataset
from nnx.data.rows import row_blocks
from nnx.settings.table import TASKS


def digest(dataset: Dataset) -> str:
    """Return the SHA-256 of the shapes, types and values of all parts, in hexadecimal.

    For tables, and for tasks other than classification, it includes the task, classes,
    columns and targets. It does not depend on the source of the data or on a machine's
    byte order. Images in a file are read in blocks.
    """
    sha256 = hashlib.sha256()
    for values in chain(*dataset.parts):
        kind = values.dtype.newbyteorder("<")
        sha256.update(f"{kind.str}{values.shape}".encode())
        for _, block in row_blocks(values):
            sha256.update(np.ascontiguousarray(block, kind).data)
    if dataset.columns or dataset.task != TASKS[0]:
        made = dataset.task, dataset.classes, dataset.columns, dataset.targets
        sha256.update(json.dumps(made).encode())
    return sha256.hexdigest()
