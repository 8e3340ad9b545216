"""Holding out samples if a source has no part for testing."""

import numpy as np

from nnx.data.dataset import Array, Split
from nnx.data.rows import chosen


def hold_out(split: Split, part: int) -> tuple[list[Split], str]:
    """Return a training and a test part, always the same ones, and a note.

    part: one in this many samples, but at least one, is held out for testing
    """
    total = len(split.labels)
    count = max(1, total // part)
    note = (
        f"no test part: {count} of {total} samples, always the same ones, are held out"
    )
    return list(train_test_split(split, count)), note


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
