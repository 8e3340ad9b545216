"""How well a network does on images it is not trained on."""

from nnx.maths import losses, network
from nnx.maths.blocks import blocks
from nnx.maths.kernels import Array, Kernels
from nnx.maths.network import Layers
from nnx.maths.steps import Images


def logits(
    layers: Layers,
    pixels: Array,
    activations: tuple[str, ...],
    scale: float,
    kernels: Kernels,
) -> Array:
    """Return the logits of some images, (n, classes).

    pixels: (n, in_features), uint8 or floating
    scale: what pixels are multiplied by
    """
    x = kernels.xp.astype(pixels, layers[0].weight.dtype) * scale
    return network.logits(layers, x, activations, kernels)


def evaluate(
    layers: Layers,
    images: Images,
    activations: tuple[str, ...],
    scale: float,
    kernels: Kernels,
) -> tuple[Array, Array]:
    """Return the sum of all images' losses in nats, and the hits; both ()."""
    xp = kernels.xp
    loss_sum = right = 0
    for rows in blocks(images.labels.shape[0]):
        pixels, labels = images.pixels[rows, :], images.labels[rows]
        out = logits(layers, pixels, activations, scale, kernels)
        loss, _ = kernels.cross_entropy(out, labels, xp=xp)
        loss_sum = loss_sum + loss * labels.shape[0]
        right = right + losses.hits(out, labels, xp=xp)
    return loss_sum, right
