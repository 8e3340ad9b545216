"""Units left out at random; which ones is `nnx.maths.dropout`'s to say."""

from typing import Any

import numpy as np
from numba import njit

from nnx.maths.dropout import COUNTERS, HALVES
from nnx_backends.numba_kernels.activations import LOOP
from nnx_backends.numba_kernels.elementary import like
from nnx_backends.numba_kernels.philox import HALF, WORD, philox

BLOCK = COUNTERS * HALVES
LANES = np.uint64(COUNTERS)
LOW, SIXTEEN = np.uint64(0xFFFF), np.uint64(16)


@njit(nogil=True, error_model="numpy")
def _draw(row: Any, image: Any, left: Any, right: Any, draw: Any) -> None:
    """Set row[left:right], whole blocks, to 1 for each unit that stays, and 0 else.

    image: its place in the batch
    draw: the least half of a word with which a unit stays, step, stream and key
    """
    least, step, stream, k0, k1 = draw
    for b in range(left // np.uint64(BLOCK), right // np.uint64(BLOCK)):
        at = b * np.uint64(BLOCK)
        for k in range(LANES):
            words = philox(b * LANES + k, image, step, stream, k0, k1)
            row[at + k] = (words[0] & LOW) >= least
            row[at + LANES + k] = (words[0] >> SIXTEEN) >= least
            row[at + np.uint64(2) * LANES + k] = (words[1] & LOW) >= least
            row[at + np.uint64(3) * LANES + k] = (words[1] >> SIXTEEN) >= least
            row[at + np.uint64(4) * LANES + k] = (words[2] & LOW) >= least
            row[at + np.uint64(5) * LANES + k] = (words[2] >> SIXTEEN) >= least
            row[at + np.uint64(6) * LANES + k] = (words[3] & LOW) >= least
            row[at + np.uint64(7) * LANES + k] = (words[3] >> SIXTEEN) >= least


@njit(nogil=True, error_model="numpy")
def draw(least: int, number: int, stream: int, layer: int, seed: Any) -> Any:
    """Return what `leave_out` draws with, for a layer's inputs in a step.

    seed: an unsigned integer
    """
    return (
        np.uint64(least), np.uint64(number) & WORD,
        np.uint64(stream) + (np.uint64(layer) << np.uint64(8)), seed & WORD,
        seed >> HALF,
    )  # fmt: skip


@njit(nogil=True, fastmath=LOOP, error_model="numpy")
def leave_out(y: Any, bounds: Any, draw: Any, scale: Any, row: Any) -> None:
    """Set the units of a block that are left out to 0, and scale the others.

    bounds: see `activations`; scale: 1 / (1 - rate)
    row: (whole blocks of units,) uint8, for use here
    """
    top, bottom, left, right = bounds
    block = np.uint64(BLOCK)
    first, last = left // block * block, (right + block - np.uint64(1)) // block * block
    for i in range(top, bottom):
        _draw(row, i, first, last, draw)
        for j in range(left, right):
            y[i, j] *= like(row[j], scale) * scale
