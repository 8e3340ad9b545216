"""The logits of many images, in few and large operations."""

from nnx.maths import network
from nnx.maths.arrays import Array
from nnx.maths.blocks import BLOCK, blocks
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

    In larger blocks than the plain maths takes, as a launch takes the host as long as
    a thousand images take a card.
    """
    dtype, widest = layers[0].weight.dtype, max(max(w.shape) for w, _ in layers)
    parts = []
    for rows in blocks(pixels.shape[0], max(BLOCK, NUMBERS // widest)):
        x = ops.xp.astype(pixels[rows, :], dtype) * pixel_scale
        parts.append(network.logits(layers, x, activations, ops))
    return parts[0] if len(parts) == 1 else ops.xp.concat(parts)
