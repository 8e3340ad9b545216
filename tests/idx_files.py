"""Files in the form of MNIST's."""

import struct

import numpy as np

IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def idx_bytes(
    values: np.ndarray, *, code: int = 8, shape: tuple[int, ...] = ()
) -> bytes:
    """Return an array as IDX; code and shape tell lies where they are given."""
    sizes = shape or values.shape
    header = struct.pack(f">BBBB{len(sizes)}I", 0, 0, code, len(sizes), *sizes)
    return header + values.astype(np.uint8).tobytes()
