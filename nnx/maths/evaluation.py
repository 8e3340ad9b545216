"""A network outside training: its logits, its outputs, and the sums of its scores."""

from collections.abc import Iterator, Sequence
from functools import reduce
from operator import add

from nnx.maths import losses, network
from nnx.maths.arrays import Array
from nnx.maths.blocks import BLOCK, block_count, blocks
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.ops import Ops
from nnx.maths.state import Images, Layers, no_sums


def logits(
    layers: Layers,
    pixels: Array,
    activations: tuple[str, ...],
    pixel_scale: float,
    ops: Ops,
    size: int = BLOCK,
) -> Array:
    """Return the logits of images, (n, outputs), computed block by block.

    pixels: (n, in_features), uint8 or floating
    pixel_scale: the factor for pixels
    size: images of a block, unless the backend has its own `logits`
    """
    if ops.logits is not None:
        return ops.logits(layers, pixels, activations, pixel_scale)

    def of_block(rows: slice) -> Array:
        x = ops.xp.astype(pixels[rows, :], layers[0].weight.dtype) * pixel_scale
        return network.forward(layers, x, activations, ops).logits

    parts = list(map(of_block, blocks(pixels.shape[0], size)))
    return parts[0] if len(parts) == 1 else ops.xp.concat(parts)


def evaluate(
    layers: Layers, images: Images, hyper: Hyperparameters, ops: Ops
) -> tuple[Array, Array]:
    """Return the sums of all images' losses and scores, as in `State`.

    hyper: gives the pixels' scale, the activations and the loss; label smoothing and
        class weights are ignored
    """
    rank, size, total, *_ = ops.communicator
    own = slice(rank, None, size)
    sums = [sums for _, *sums in each_block(layers, images, hyper, ops, own)]
    if size > 1:
        count = block_count(images.labels.shape[0])
        every: list[Sequence[Array]] = [no_sums(layers, hyper, ops)] * count
        every[own] = sums
        sums = total([every])
    return tuple(reduce(add, of_blocks) for of_blocks in zip(*sums, strict=True))


def each_block(
    layers: Layers,
    images: Images,
    hyper: Hyperparameters,
    ops: Ops,
    which: slice = slice(None),
) -> Iterator[tuple[Array, Array, Array]]:
    """Yield each block's logits, and the sums of its losses and scores.

    which: the blocks to take; other arguments as for `evaluate`
    """
    hyper = hyper._replace(label_smoothing=0.0, class_weights=())
    n, score = images.labels.shape[0], losses.LOSSES[hyper.loss].score
    for rows in blocks(n, BLOCK if ops.logits is None else n)[which]:
        pixels, labels = images.pixels[rows, :], images.labels[rows, ...]
        out = logits(layers, pixels, hyper.activations, hyper.pixel_scale, ops)
        each, _ = losses.per_sample(out, labels, hyper, xp=ops.xp)
        yield out, ops.xp.sum(each), score(out, labels, xp=ops.xp)


def outputs(layers: Layers, pixels: Array, hyper: Hyperparameters, ops: Ops) -> Array:
    """Return each image's probabilities, or a regression's values, (n, outputs).

    pixels: (n, in_features), uint8 or floating
    hyper: as for `evaluate`
    """
    every = logits(layers, pixels, hyper.activations, hyper.pixel_scale, ops)
    return losses.LOSSES[hyper.loss].outputs(every, xp=ops.xp)
