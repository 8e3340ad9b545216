"""Many images in blocks of a few, each within bounds as the standard asks."""

# So many images at once, so that their activations stay in a processor's cache
# however many there are; see docs/performance.md.
BLOCK = 1024


def block_count(n: int, size: int = BLOCK) -> int:
    """Return how many blocks hold n images; the last may be short."""
    return -(-n // size)


def block(i: int, n: int, size: int = BLOCK) -> slice:
    """Return the i-th block of n images."""
    return slice(i * size, min((i + 1) * size, n))


def blocks(n: int, size: int = BLOCK) -> list[slice]:
    """Return all blocks of n images."""
    return [block(i, n, size) for i in range(block_count(n, size))]
