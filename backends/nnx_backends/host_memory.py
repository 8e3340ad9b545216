"""Memory allocation by the C library, for backends with arrays in host memory."""

from contextlib import suppress

import numpy as np


def keep_freed() -> None:
    """Have the C library keep the memory that a step frees, for the next step.

    Otherwise glibc may return it to the system and map it again, zeroed page by page,
    several times per step. Its threshold for doing so rises to the size of the largest
    mapped block that was ever freed (mallopt(3), M_MMAP_THRESHOLD), up to 32 MiB. The
    block allocated and freed here is never touched, and so takes no memory.
    """
    with suppress(MemoryError):
        np.empty(31 * 2**20, np.uint8)
