"""How well a network does on images it is not trained on."""

from nnx.maths import losses, network
from nnx.maths.arrays import Array
from nnx.maths.blocks import BLOCK, blocks
from nnx.maths.ops import Ops
from nnx.maths.state import Images, Layers


def logits(
    layers: Layers,
    pixels: Array,
    activations: tuple[str, ...],
    pixel_scale: float,
    ops: Ops,
) -> Array:
    """Return the logits of a block of images, (n, classes).

    pixels: (n, in_features), uint8 or floating
    pixel_scale: what pixels are multiplied by
    """
    if ops.logits is not None:
        return ops.logits(layers, pixels, activations, pixel_scale)
    x = ops.xp.astype(pixels, layers[0].weight.dtype) * pixel_scale
    return network.logits(layers, x, activations, ops)


def evaluate(
    layers: Layers,
    images: Images,
    activations: tuple[str, ...],
    pixel_scale: float,
    ops: Ops,
) -> tuple[Array, Array]:
    """Return the sum of all images' losses in nats, and how many are right; both ()."""
    loss_sum, correct, n = 0, 0, images.labels.shape[0]
    for rows in blocks(n, BLOCK if ops.logits is None else n):
        pixels, labels = images.pixels[rows, :], images.labels[rows]
        out = logits(layers, pixels, activations, pixel_scale, ops)
        loss, _ = losses.cross_entropy(out, labels, xp=ops.xp)
        loss_sum = loss_sum + loss * labels.shape[0]
        correct = correct + losses.correct(out, labels, xp=ops.xp)
    return loss_sum, correct


def predictions(
    layers: Layers,
    pixels: Array,
    activations: tuple[str, ...],
    pixel_scale: float,
    ops: Ops,
) -> Array:
    """Return the class that each image is taken for, (n,), integers.

    pixels: (n, in_features), uint8 or floating
    """
    n, xp = pixels.shape[0], ops.xp
    blocks_of_logits = (
        logits(layers, pixels[rows, :], activations, pixel_scale, ops)
        for rows in blocks(n, BLOCK if ops.logits is None else n)
    )
    return xp.concat([xp.argmax(block, axis=1) for block in blocks_of_logits])
