"""Small files of every kind, written where a test wants them."""

import gzip
import struct

import numpy as np

IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def idx_bytes(values, *, code=0x08, shape=None):
    """The IDX form of an array; code and shape tell lies where they are given."""
    shape = values.shape if shape is None else shape
    header = struct.pack(f">BBBB{len(shape)}I", 0, 0, code, len(shape), *shape)
    return header + values.astype(np.uint8).tobytes()


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
