"""Small files of every kind, written where a test wants them, and their refusal."""

import gzip

import numpy as np
import pytest
from idx_files import IDX_NAMES, idx_bytes

from nnx.errors import InputError


def refusal(read, *args, **options):
    """Return the words, in one line, in which these arguments are refused."""
    with pytest.raises(InputError) as caught:
        read(*args, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def samples(count, *, height=4, width=5, classes=3, seed=0):
    """Images (count, height, width) uint8 and labels (count,) with every class."""
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (count, height, width), np.uint8)
    return images, (np.arange(count) % classes).astype(np.uint8)


def write_idx_folder(folder, *, suffix=".gz", train=12, test=6, **kind):
    """Write the four files; return the arrays in them, in the order of the names."""
    arrays = [*samples(train, **kind), *samples(test, seed=1, **kind)]
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in zip(IDX_NAMES, arrays, strict=True):
        data = idx_bytes(values)
        data = gzip.compress(data) if suffix == ".gz" else data
        (folder / (name + suffix)).write_bytes(data)
    return arrays
