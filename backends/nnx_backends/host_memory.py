"""The C library's memory, for backends whose arrays are the host's."""

from contextlib import suppress

import numpy as np


def keep_freed() -> None:
    """Let the C library keep what a step frees, for the next step to use.

    Otherwise glibc may give it back to the system and take it anew, zeroed page by
    page, several times a step. It raises its limits for that to the largest mapped
    block that was ever freed (mallopt(3), M_MMAP_THRESHOLD), and 32 MiB at most.
    This block is never touched, and so takes no memory.
    """
    with suppress(MemoryError):
        np.empty(31 * 2**20, np.uint8)
