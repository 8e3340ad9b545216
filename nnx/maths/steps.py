"""Training steps: a batch of images in, the next state out."""

from collections.abc import Sequence
from typing import NamedTuple

from nnx.maths import dropout, losses, network, optimizers, regularization
from nnx.maths.batch_norm import Moments
from nnx.maths.blocks import block, blocks
from nnx.maths.kernels import Array, Kernels
from nnx.maths.network import Trained
from nnx.maths.optimizers import Rates


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
    optimizer: a name in `optimizers.OPTIMIZERS`
    beta2: how much of its mean square Adam or RMSprop keeps
    l1, l2: the strengths of the penalties l1 · Σ |weight| and l2/2 · Σ weight²
    weight_decay: what share of the weights, times the learning rate, a step takes off
    clip_norm: the most that the gradient's norm may be; 0 is no bound
    max_norm: the most that the norm of a unit's weights may be; 0 is no bound
    input_dropout, dropout: the share of pixels, and of hidden units, that is left out
    smoothing, class_weights: see `losses.cross_entropy`
    seed: for dropout
    """

    activations: tuple[str, ...]
    scale: float
    batch_size: int
    optimizer: str = "sgd"
    beta2: float = 0.0
    l1: float = 0.0
    l2: float = 0.0
    weight_decay: float = 0.0
    clip_norm: float = 0.0
    max_norm: float = 0.0
    input_dropout: float = 0.0
    dropout: float = 0.0
    smoothing: float = 0.0
    class_weights: tuple[float, ...] = ()
    seed: int = 0


class Epoch(NamedTuple):
    """What the steps of an epoch take, or of a part of one.

    order: (n,), the numbers of its images, in turn; the last batch may be short
    rates: of each step
    begin: how many steps the run took before
    """

    order: Array
    rates: Sequence[Rates]
    begin: int = 0


class State(NamedTuple):
    """What a step changes.

    loss_sum: (), the sum over the epoch's images so far of their loss in nats
    hits: (), how many of them were classified rightly
    slots: the optimizer's memory, each in the layers' form
    moments: of each layer with batch normalization
    averages: the moving average of the layers, or none
    """

    layers: Trained
    loss_sum: Array
    hits: Array
    slots: tuple[Trained, ...] = ()
    moments: tuple[Moments, ...] = ()
    averages: Trained | tuple[()] = ()


class Sums(NamedTuple):
    """What a batch gives.

    gradients: of the batch's mean loss, in the layers' form
    loss_sum: (), in nats
    hits: (), an integer
    moments: of each layer with batch normalization, after the batch
    """

    gradients: Trained
    loss_sum: Array
    hits: Array
    moments: tuple[Moments, ...] = ()


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
    state: State,
    images: Images,
    index: Array,
    rows: slice,
    number: int,
    recipe: Recipe,
    kernels: Kernels,
) -> Sums:
    """Return what one block adds to its batch's gradients, loss and hits.

    index: (batch,), integers in [0, n); rows: those of the block
    number: how many steps the run took before
    """
    layers, xp = state.layers, kernels.xp
    part, batch = index[rows], index.shape[0]
    x, labels = gather(images, part, recipe.scale, layers[0].weight, kernels)
    factors = left_out(layers, x, rows.start, number, recipe, kernels)
    traces, moments, logits = network.forward(
        layers, x, recipe.activations, kernels, state.moments, factors
    )
    loss, dlogits = kernels.cross_entropy(
        logits,
        labels,
        smoothing=recipe.smoothing,
        class_weights=recipe.class_weights,
        xp=xp,
    )
    loss_sum = loss * part.shape[0]
    if part.shape[0] < batch:
        whole = xp.take(images.labels, index, axis=0)
        share = losses.share(labels, whole, recipe.class_weights, like=logits, xp=xp)
        dlogits, loss_sum = dlogits * share, loss * (share * batch)
    return Sums(
        network.backward(layers, traces, dlogits, recipe.activations, kernels, factors),
        loss_sum,
        losses.hits(logits, labels, xp=xp),
        tuple(moments),
    )


def left_out(
    layers: Trained, x: Array, first: int, number: int, recipe: Recipe, kernels: Kernels
) -> list[Array]:
    """Return what dropout multiplies each layer's input by; none without dropout.

    first: the first image's place in its batch; number: of the step
    """
    if recipe.input_dropout == 0.0 and recipe.dropout == 0.0:
        return []
    rates = [recipe.input_dropout] + [recipe.dropout] * (len(layers) - 1)
    return [
        dropout.factors(
            (x.shape[0], layer.weight.shape[0]),
            rate,
            seed=recipe.seed,
            step=number,
            layer=i,
            first=first,
            like=x,
            xp=kernels.xp,
        )
        for i, (layer, rate) in enumerate(zip(layers, rates, strict=True))
    ]


def batch_sums(
    state: State,
    images: Images,
    index: Array,
    number: int,
    recipe: Recipe,
    kernels: Kernels,
) -> Sums:
    """Return the gradients of the penalized mean loss, the loss and the hits.

    Batches of more than BLOCK images are summed up block by block, and each block is
    normalized by itself (Hoffer, Hubara and Soudry, arXiv:1705.08741).

    index: (batch,), integers in [0, n)
    number: how many steps the run took before
    """
    total: Sums | None = None
    for rows in blocks(index.shape[0]):
        sums = block_sums(state, images, index, rows, number, recipe, kernels)
        state = state._replace(moments=sums.moments)
        total = sums if total is None else _added(total, sums)
    assert total is not None, "a batch has images"
    if recipe.l1 == 0.0 and recipe.l2 == 0.0:
        return total
    penalized = [
        gradient._replace(
            weight=regularization.penalty_backward(
                gradient.weight, layer.weight, recipe.l1, recipe.l2, xp=kernels.xp
            )
        )
        for gradient, layer in zip(total.gradients, state.layers, strict=True)
    ]
    return total._replace(gradients=penalized)


def _added(a: Sums, b: Sums) -> Sums:
    """Return the sums of two blocks, with the later one's moments."""
    gradients = [
        type(p)(*(x + y for x, y in zip(p, q, strict=True)))
        for p, q in zip(a.gradients, b.gradients, strict=True)
    ]
    return Sums(gradients, a.loss_sum + b.loss_sum, a.hits + b.hits, b.moments)


def step(
    state: State,
    images: Images,
    index: Array,
    rates: Rates,
    number: int,
    recipe: Recipe,
    kernels: Kernels,
) -> State:
    """Return the state after one batch.

    index: (batch,), integers in [0, n)
    number: how many steps the run took before
    """
    sums = batch_sums(state, images, index, number, recipe, kernels)
    gradients = sums.gradients
    if recipe.clip_norm > 0.0:
        gradients = optimizers.clipped(gradients, recipe.clip_norm, xp=kernels.xp)
    layers, slots = optimizers.updated(
        state.layers, gradients, state.slots, rates, recipe, kernels
    )
    averages = state.averages
    if averages:
        averages = optimizers.averaged(averages, layers, rates)
    return State(
        layers,
        state.loss_sum + sums.loss_sum,
        state.hits + sums.hits,
        slots,
        sums.moments,
        averages,
    )


def run_steps(
    state: State,
    images: Images,
    epoch: Epoch,
    first: int,
    last: int,
    recipe: Recipe,
    kernels: Kernels,
) -> State:
    """Return the state after the epoch's steps first … last - 1."""
    n, size = epoch.order.shape[0], recipe.batch_size
    for i in range(first, last):
        index = epoch.order[block(i, n, size)]
        number, rates = epoch.begin + i, epoch.rates[i]
        state = step(state, images, index, rates, number, recipe, kernels)
    return state
