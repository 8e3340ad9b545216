"""The random words of `nnx.maths.random`, in a form that becomes vector code."""

import numpy as np
from numba import njit

WORD = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)
LEFT, RIGHT = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
KEY_LEFT, KEY_RIGHT = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)


@njit(nogil=True, error_model="numpy")
def philox(a, b, c, d, k0, k1):
    """Return four random words; see `nnx.maths.random.philox`."""
    for _ in range(10):
        left, right = a * LEFT, c * RIGHT
        a, c = (right >> HALF) ^ b ^ k0, (left >> HALF) ^ d ^ k1
        b, d = right & WORD, left & WORD
        k0, k1 = (k0 + KEY_LEFT) & WORD, (k1 + KEY_RIGHT) & WORD
    return a, b, c, d
