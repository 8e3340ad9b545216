"""Which samples of a source are for training, and which for testing."""

from typing import Any

import numpy as np

from nnx.data.dataset import Array, Dataset, Split
from nnx.data.rows import chosen


def hold_out(split: Split, part: int) -> tuple[list[Split], str]:
    """Return a training and a test part, always the same ones, and a note.

    part: one in this many samples is held out for testing; all are in both parts if
        there are fewer
    """
    total = len(split.labels)
    count = total // part
    if count == 0:
        return [split, split], none_held_out(total, "samples")
    note = (
        f"no test part: {count} of {total} samples, always the same ones, are held out"
    )
    return list(train_test_split(split, count)), note


def none_held_out(total: int, samples: str) -> str:
    """Return a note that all samples, or rows, are for training and for testing."""
    return (
        f"no test part, and too few {samples} to hold any out: the {total} to train on "
        "are tested"
    )


def train_test_split(split: Split, count: int) -> tuple[Split, Split]:
    """Return a training part, and a test part of `count` samples, always the same."""
    rows = held_out_rows(len(split.labels), count)
    train, test = (Split(chosen(split.images, r), split.labels[r]) for r in rows)
    return train, test


def held_out_rows(total: int, count: int) -> tuple[Array, Array]:
    """Return the ascending numbers of the rows to train on, and of those held out."""
    # Independent of a run's seed. NumPy promises never to change RandomState's stream
    # (NEP 19).
    order = np.random.RandomState(0).permutation(total)
    return np.sort(order[count:]), np.sort(order[:count])


def made_like(like: Any, name: str, train: Split, test: Split, **more: Any) -> Dataset:
    """Return a data set of samples in the form of a network's or another data set's.

    like: the network, or the data set
    more: other fields, such as notes
    """
    alike = "classes", "frame", "task", "columns", "targets"
    fields = {field: getattr(like, field) for field in alike}
    return Dataset(name, train, test, **fields, **more)
