"""Holding samples out where a source has no part to test on."""

import numpy as np

from nnx.data.dataset import Array, Split
from nnx.data.rows import chosen


def hold_out(split: Split, part: int) -> tuple[list[Split], str]:
    """Return a training and a test part, always the same ones, and a note on it.

    part: one sample in this many, and at least one, becomes the test part
    """
    total = len(split.labels)
    count = max(1, total // part)
    note = (
        f"no test part: {count} of {total} samples, always the same ones, are held out"
    )
    return list(train_test_split(split, count)), note


def train_test_split(split: Split, count: int) -> tuple[Split, Split]:
    """Return a part to train on, and one of so many samples, always the same ones."""
    rows = held_out_rows(len(split.labels), count)
    train, test = (Split(chosen(split.images, r), split.labels[r]) for r in rows)
    return train, test


def held_out_rows(total: int, count: int) -> tuple[Array, Array]:
    """Return which of so many rows to train on, and which are held out, in order."""
    # Independent of a run's seed, and drawn from RandomState because NumPy promises
    # never to change its stream (NEP 19).
    order = np.random.RandomState(0).permutation(total)
    return np.sort(order[count:]), np.sort(order[:count])
