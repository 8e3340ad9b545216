"""Dropout: training leaves out random units and scales up the others.

Source: Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, "Dropout", JMLR 15,
2014. The seed, the step, the layer, the image's place in its batch and the unit decide
which units are left out, the same on every backend.
"""

from nnx.maths import random
from nnx.maths.arrays import Array, Namespace, device_of
from nnx.maths.hyperparameters import Stream

# Each unit draws half a random word, so rates are multiples of 1 / PARTS.
PARTS = 1 << 16
# A block of units takes COUNTERS consecutive counters of HALVES half-words each. The
# lower halves of the counters' first words belong to the first units, for vector code.
COUNTERS, HALVES = 16, 8


def threshold(rate: float) -> int:
    """Return the number below which a unit's half-word leaves the unit out."""
    return round(rate * PARTS)


def mask(
    shape: tuple[int, int],
    rate: float,
    *,
    seed: int,
    step: int,
    layer: int,
    first: int,
    like: Array,
    xp: Namespace,
) -> Array:
    """Return the factors of a layer's inputs, 0 or 1 / (1 - rate).

    shape: (images, in_features), of the result
    rate: the share of units left out, in [0, 1)
    step: counted from the start of the run
    layer: its number, from 0
    first: the first image's place in its batch
    returns: in `like`'s dtype
    """
    n, width = shape
    each = -(-width // (COUNTERS * HALVES)) * COUNTERS
    image = first + xp.arange(n, dtype=xp.int64, device=device_of(like))
    stream, time = Stream.DROPOUT + (layer << 8), step & random.WORD
    words = random.lanes_each(image, each, seed=seed, stream=stream, time=time, xp=xp)
    halves = [half for word in words for half in (word & (PARTS - 1), word >> 16)]
    blocks = xp.reshape(xp.stack(halves), (HALVES, n, each // COUNTERS, COUNTERS))
    drawn = xp.reshape(xp.permute_dims(blocks, (1, 2, 0, 3)), (n, HALVES * each))
    drawn = drawn[:, :width]
    least = threshold(rate)
    return xp.astype(drawn >= least, like.dtype) * (PARTS / (PARTS - least))
