"""Many images cut into blocks; every slice is within bounds, as the standard asks."""

# Images per block: few enough for their activations to stay in the processor's cache;
# see docs/performance.md.
BLOCK = 1024


def block_count(n: int, size: int = BLOCK) -> int:
    """Return the number of blocks that n images fill; the last block may be short."""
    return -(-n // size)


def block(i: int, n: int, size: int = BLOCK) -> slice:
    """Return the rows of the i-th block of n images."""
    return slice(i * size, min((i + 1) * size, n))


def blocks(n: int, size: int = BLOCK) -> list[slice]:
    """Return the rows of each block of n images."""
    return [block(i, n, size) for i in range(block_count(n, size))]
