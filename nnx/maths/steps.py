"""Training steps: a batch of images in, the next state out."""

from functools import reduce
from typing import NamedTuple

from nnx.maths import losses, network, sgd
from nnx.maths.blocks import BLOCK, block, blocks
from nnx.maths.kernels import Array, Kernels
from nnx.maths.network import Layer, Layers


class Images(NamedTuple):
    """A set of labelled images on the device.

    pixels: (n, in_features), uint8 or floating
    labels: (n,), int64 in [0, classes)
    """

    pixels: Array
    labels: Array


class Recipe(NamedTuple):
    """What a step does; it stays the same from step to step.

    activations: a name for each layer
    scale: what pixels are multiplied by
    """

    activations: tuple[str, ...]
    scale: float
    batch_size: int
    learning_rate: float
    l2: float


class State(NamedTuple):
    """What a step changes.

    loss_sum: (), the sum over the epoch's images so far of their loss in nats
    hits: (), how many of them were classified rightly
    """

    layers: Layers
    loss_sum: Array
    hits: Array


class Sums(NamedTuple):
    """What a batch gives.

    gradients: of the batch's mean loss, in the layers' form
    loss_sum: (), in nats
    hits: (), an integer
    """

    gradients: Layers
    loss_sum: Array
    hits: Array


def gather(
    images: Images, index: Array, scale: float, like: Array, kernels: Kernels
) -> tuple[Array, Array]:
    """Return the pixels, scaled and in `like`'s dtype, and the labels.

    index: (batch,), integers in [0, n)
    returns: x (batch, in_features), labels (batch,)
    """
    xp = kernels.xp
    pixels = xp.take(images.pixels, index, axis=0)
    return xp.astype(pixels, like.dtype) * scale, xp.take(images.labels, index, axis=0)


def block_sums(
    layers: Layers,
    images: Images,
    index: Array,
    batch_size: int,
    recipe: Recipe,
    kernels: Kernels,
) -> Sums:
    """Return what one block adds to its batch's gradients, loss and hits.

    index: (block,), integers in [0, n)
    batch_size: of the whole batch, over which the mean is taken
    """
    x, labels = gather(images, index, recipe.scale, layers[0].weight, kernels)
    outputs = network.forward(layers, x, recipe.activations, kernels)
    loss, dlogits = kernels.cross_entropy(outputs[-1], labels, xp=kernels.xp)
    if index.shape[0] < batch_size:
        dlogits = dlogits * (index.shape[0] / batch_size)
    return Sums(
        network.backward(layers, outputs, dlogits, recipe.activations, kernels),
        loss * index.shape[0],
        losses.hits(outputs[-1], labels, xp=kernels.xp),
    )


def batch_sums(
    layers: Layers, images: Images, index: Array, recipe: Recipe, kernels: Kernels
) -> Sums:
    """Return the gradients of the penalized mean loss, the loss and the hits.

    Batches of more than BLOCK images are summed up block by block.

    index: (batch,), integers in [0, n)
    """
    n = index.shape[0]
    parts = [index] if n <= BLOCK else [index[rows] for rows in blocks(n)]
    total = reduce(
        _added, (block_sums(layers, images, p, n, recipe, kernels) for p in parts)
    )
    if recipe.l2 == 0.0:
        return total
    penalized = [
        Layer(sgd.l2_backward(dweight, layer.weight, recipe.l2), dbias)
        for (dweight, dbias), layer in zip(total.gradients, layers, strict=True)
    ]
    return total._replace(gradients=penalized)


def _added(a: Sums, b: Sums) -> Sums:
    """Return the sums of two blocks."""
    pairs = zip(a.gradients, b.gradients, strict=True)
    gradients = [Layer(p.weight + q.weight, p.bias + q.bias) for p, q in pairs]
    return Sums(gradients, a.loss_sum + b.loss_sum, a.hits + b.hits)


def step(
    state: State, images: Images, index: Array, recipe: Recipe, kernels: Kernels
) -> State:
    """Return the state after one batch.

    index: (batch,), integers in [0, n)
    """
    sums = batch_sums(state.layers, images, index, recipe, kernels)
    layers = [
        Layer(
            kernels.update(layer.weight, dweight, recipe.learning_rate),
            kernels.update(layer.bias, dbias, recipe.learning_rate),
        )
        for layer, (dweight, dbias) in zip(state.layers, sums.gradients, strict=True)
    ]
    return State(layers, state.loss_sum + sums.loss_sum, state.hits + sums.hits)


def run_steps(
    state: State,
    images: Images,
    order: Array,
    first: int,
    last: int,
    recipe: Recipe,
    kernels: Kernels,
) -> State:
    """Return the state after the epoch's steps first … last - 1.

    order: (n,), the order in which the epoch takes the images; the last batch
        may be short
    """
    n, size = order.shape[0], recipe.batch_size
    for i in range(first, last):
        state = step(state, images, order[block(i, n, size)], recipe, kernels)
    return state
