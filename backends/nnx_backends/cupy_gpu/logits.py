"""The logits of many images, in a few large operations."""

from nnx.maths import evaluation
from nnx.maths.arrays import Array
from nnx.maths.blocks import BLOCK
from nnx.maths.ops import Ops
from nnx.maths.state import Layers

# Numbers of the widest layer at a time: 32 MB of float32.
NUMBERS = 1 << 23


def logits(
    layers: Layers,
    pixels: Array,
    activations: tuple[str, ...],
    pixel_scale: float,
    *,
    ops: Ops,
) -> Array:
    """Return the logits of images, (n, outputs); like `nnx.maths.evaluation.logits`.

    Blocks are larger than the plain maths takes, because a launch takes the host as
    long as a thousand images take a card.

    ops: without their own `logits`
    """
    widest = max(max(layer.weight.shape) for layer in layers)
    size = max(BLOCK, NUMBERS // widest)
    return evaluation.logits(layers, pixels, activations, pixel_scale, ops, size)
