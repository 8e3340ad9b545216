"""Random numbers that are the same, bit for bit, on every backend.

Philox-4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw,
"Parallel random numbers: as easy as 1, 2, 3", SC 2011. A draw is a function of
its counter: there is no state between draws, and every draw can be repeated.
Each 32-bit word is held in an int64, because the standard guarantees that type
and all libraries wrap its products in the same way.
"""

import math

from nnx.maths.arrays import Array, Namespace, device_of
from nnx.maths.hyperparameters import Stream

WORD = 0xFFFFFFFF
MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
KEY_STEPS = 0x9E3779B9, 0xBB67AE85
ROUNDS = 10
INDEX_BITS = 31


def philox(
    counter: tuple[Array, Array, Array, Array], key: tuple[int, int], *, xp: Namespace
) -> tuple[Array, Array, Array, Array]:
    """Return four random words for each counter.

    counter: four arrays (n,), int64 in [0, 2³²)
    key: two integers in [0, 2³²)
    xp: the namespace; if it has its own `philox`, that is called, without xp
    returns: four arrays (n,), int64 in [0, 2³²)
    """
    if own := getattr(xp, "philox", None):
        words: tuple[Array, Array, Array, Array] = own(counter, key)
        return words
    a, b, c, d = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        # The product of two words fills 64 bits: both halves are right even
        # where int64 reads it as a negative number.
        left, right = a * MULTIPLIERS[0], c * MULTIPLIERS[1]
        a = _high(right) ^ b ^ k0
        c = _high(left) ^ d ^ k1
        b, d = right & WORD, left & WORD
        k0, k1 = (k0 + KEY_STEPS[0]) & WORD, (k1 + KEY_STEPS[1]) & WORD
    return a, b, c, d


def _high(product: Array) -> Array:
    """Return the upper word; the mask clears the sign bits that the shift copied in."""
    return (product >> 32) & WORD


def key(seed: int) -> tuple[int, int]:
    """Return the generator's key for a seed, an integer in [0, 2⁶⁴)."""
    return seed & WORD, seed >> 32


def words(
    n: int,
    *,
    seed: int,
    stream: Stream,
    epoch: int = 0,
    step: int = 0,
    xp: Namespace,
    device: object = None,
) -> Array:
    """Return n random words, (n,) int64 in [0, 2³²).

    The same arguments always give the same words.

    seed: an integer in [0, 2⁶⁴)
    epoch, step: integers in [0, 2³²)
    """
    index = xp.arange(-(-n // 4), dtype=xp.int64, device=device)
    zero = xp.zeros_like(index)
    counter = index, zero + step, zero + epoch, zero + int(stream)
    lanes = philox(counter, key(seed), xp=xp)
    return xp.reshape(xp.stack(lanes, axis=1), (-1,))[:n]


def lanes_each(
    items: Array,
    count: int,
    *,
    first: int = 0,
    seed: int,
    stream: int,
    time: int,
    xp: Namespace,
) -> tuple[Array, Array, Array, Array]:
    """Return `count` blocks of four random words for each item, as `philox` does.

    items: (n,), int64 in [0, 2³²); images' numbers, or their places in a batch
    first: the number of each item's first block
    time: the epoch or the step, in [0, 2³²)
    """
    shape, device = (items.shape[0], count), device_of(items)
    lane = first + xp.arange(count, dtype=xp.int64, device=device)
    block = xp.reshape(xp.broadcast_to(lane[None, :], shape), (-1,))
    item = xp.reshape(xp.broadcast_to(items[:, None], shape), (-1,))
    zero = xp.zeros_like(block)
    return philox((block, item, zero + time, zero + int(stream)), key(seed), xp=xp)


def words_each(items: Array, count: int, *, xp: Namespace, **draw: int) -> Array:
    """Return separate random words for each item, (n, count), int64 in [0, 2³²).

    items, draw: as for `lanes_each`
    """
    blocks = -(-count // 4)
    lanes = lanes_each(items, blocks, xp=xp, **draw)
    words = xp.reshape(xp.stack(lanes, axis=1), (items.shape[0], 4 * blocks))
    return words[:, :count]


def uniform(bits: Array, *, xp: Namespace) -> Array:
    """Return a number in (0, 1) for each word, float64, without rounding."""
    return (xp.astype(bits, xp.float64) + 0.5) * 2.0**-32


def normal(bits: Array, *, xp: Namespace) -> Array:
    """Return as many standard normal numbers as there are words.

    Source: Box and Muller, "A note on the generation of random normal
    deviates", 1958.

    bits: (2n,), int64 in [0, 2³²)
    returns: (2n,), float64
    """
    radius = xp.sqrt(-2.0 * xp.log(uniform(bits[::2], xp=xp)))
    angle = 2.0 * math.pi * uniform(bits[1::2], xp=xp)
    return xp.concat([radius * xp.cos(angle), radius * xp.sin(angle)])


def permutation(
    n: int,
    *,
    seed: int,
    epoch: int,
    stream: Stream = Stream.SHUFFLE,
    part: int = 0,
    xp: Namespace,
    device: object = None,
) -> Array:
    """Return 0 … n-1 in the random order of this epoch, (n,) int64.

    Each index is sorted by a random word. The lower bits of a sort key are the
    index itself: no two keys are equal, so every sort gives the same order.

    part: the number of this order, if the epoch has several; in [0, 2³²)
    """
    bits = words(
        n, seed=seed, stream=stream, epoch=epoch, step=part, xp=xp, device=device
    )
    index = xp.arange(n, dtype=xp.int64, device=device)
    keys = (bits << INDEX_BITS) | index
    return xp.sort(keys) & ((1 << INDEX_BITS) - 1)
