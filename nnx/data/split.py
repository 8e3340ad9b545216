"""Holding samples out for testing where a source has no test part."""

import numpy as np

from nnx.data.dataset import Split


def hold_out(split: Split, part: int) -> tuple[list[Split], str]:
    """Return a training and a test part, always the same ones, and a note on it.

    part: one sample in this many, and at least one, becomes the test part
    """
    count = len(split.labels)
    held = max(1, count // part)
    note = (
        f"no test part: {held} of {count} samples, always the same ones, are held out"
    )
    return list(train_test_split(split, held)), note


def train_test_split(split: Split, held: int) -> tuple[Split, Split]:
    """Return a part to train on, and one of so many samples, always the same ones."""
    count = len(split.labels)
    # Independent of a run's seed, and drawn from RandomState because NumPy promises
    # never to change its stream (NEP 19).
    order = np.random.RandomState(0).permutation(count)
    rows = np.sort(order[held:]), np.sort(order[:held])
    train, other = (Split(split.images[r], split.labels[r]) for r in rows)
    return train, other
