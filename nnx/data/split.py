"""Holding samples out for testing where a source has no test part."""

import numpy as np

from nnx.data.dataset import Split


def hold_out(split: Split, part: int) -> tuple[list[Split], str]:
    """Return a training and a test part, always the same ones, and a note on it.

    part: one sample in this many, and at least one, becomes the test part
    """
    count = len(split.labels)
    held = max(1, count // part)
    # Independent of a run's seed, and drawn from RandomState because NumPy promises
    # never to change its stream (NEP 19).
    order = np.random.RandomState(0).permutation(count)
    rows = np.sort(order[held:]), np.sort(order[:held])
    note = (
        f"no test part: {held} of {count} samples, always the same ones, are held out"
    )
    return [Split(split.images[r], split.labels[r]) for r in rows], note
