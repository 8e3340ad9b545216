"""Training steps: a batch of images in, the next state out."""

from nnx.maths import dropout, losses, network, random, regularization
from nnx.maths.arrays import Array, Namespace, device_of, map_arrays
from nnx.maths.blocks import block, block_count
from nnx.maths.descent import BatchResult, descend
from nnx.maths.hyperparameters import Hyperparameters, Stream
from nnx.maths.ops import Ops
from nnx.maths.schedules import at_steps
from nnx.maths.shards import Sharded, blocks_of_shard, lockstep, own_shards, summed
from nnx.maths.state import Images, State


def run_steps(
    state: State,
    images: Images,
    order: Array,
    count: int,
    hyper: Hyperparameters,
    ops: Ops,
) -> State:
    """Return the state after `count` more steps, all in one epoch.

    order: (n,), the order of the epoch's images, integers in [0, n); its i-th part is
        batch i = state.step mod ⌈n / batch_size⌉ of the epoch; the last may be short
    hyper: of the run
    """
    n, size = order.shape[0], hyper.batch_size
    per_epoch = block_count(n, size)
    for now in at_steps(hyper, state.step, count, per_epoch):
        index = order[block(state.step % per_epoch, n, size)]
        state = step(state, images, index, now, ops)
    return state


def step(
    state: State, images: Images, index: Array, hyper: Hyperparameters, ops: Ops
) -> State:
    """Return the state after one batch.

    index: (batch,), integers in [0, n)
    hyper: of this step, see `schedules.at_steps`
    """
    result = batch_gradients(state, images, index, hyper, ops)
    return descend(state, result, hyper, ops)


def batch_gradients(
    state: State, images: Images, index: Array, hyper: Hyperparameters, ops: Ops
) -> BatchResult:
    """Return the gradients of the penalized mean loss, and the batch's sums.

    Both are sums over the batch's shards, of which this process computes its own. A
    shard of more than `blocks.BLOCK` images is computed in blocks. Batch normalization
    then treats the i-th blocks of all shards as a batch of their own (Hoffer, Hubara
    and Soudry, arXiv:1705.08741).

    index: (batch,), integers in [0, n)
    """
    count, communicator = hyper.shards, ops.communicator
    shards = [
        blocks_of_shard(i, count, index.shape[0])
        for i in own_shards(count, communicator)
    ]
    sums = list[BatchResult]()
    for each in zip(*shards, strict=True):
        results = lockstep(
            [_block_gradients(state, images, index, rows, hyper, ops) for rows in each],
            communicator,
        )
        sums = [*map(_added, sums, results)] if sums else results
        state = state._replace(running_stats=results[0].running_stats)
    gradients, loss_sum, score_sum = summed([each[:3] for each in sums], communicator)
    total = BatchResult(gradients, loss_sum, score_sum, state.running_stats)
    if hyper.l1 == 0.0 and hyper.l2 == 0.0:
        return total
    penalized = [
        gradient._replace(
            weight=regularization.penalty_backward(
                gradient.weight, layer.weight, hyper.l1, hyper.l2, xp=ops.xp
            )
        )
        for gradient, layer in zip(total.gradients, state.layers, strict=True)
    ]
    return total._replace(gradients=penalized)


def _added(a: BatchResult, b: BatchResult) -> BatchResult:
    """Return the sums of two blocks, with the running statistics of the later one."""
    gradients, loss_sum, score_sum = map_arrays(lambda x, y: x + y, a[:3], b[:3])
    return BatchResult(gradients, loss_sum, score_sum, b.running_stats)


def _block_gradients(
    state: State,
    images: Images,
    index: Array,
    rows: slice,
    hyper: Hyperparameters,
    ops: Ops,
) -> Sharded[BatchResult]:
    """Return one block's contribution to its shard's gradients, loss and score.

    index: (batch,), integers in [0, n)
    rows: the block's rows of index
    """
    layers, xp = state.layers, ops.xp
    x, labels = inputs(state, images, index[rows], hyper, ops, rows.start)
    masks = dropout_masks(state, x, rows.start, hyper, ops)
    seen = yield from network.forward_shard(
        layers, x, hyper.activations, ops, state.running_stats, masks
    )
    loss_sum, dlogits = batch_loss(seen.logits, labels, images, index, rows, hyper, xp)
    gradients = yield from network.backward_shard(
        layers, seen.caches, dlogits, hyper.activations, ops, masks
    )
    return BatchResult(
        gradients,
        loss_sum,
        losses.LOSSES[hyper.loss].score(seen.logits, labels, xp=xp),
        seen.running_stats,
    )


def batch_loss(
    logits: Array,
    labels: Array,
    images: Images,
    index: Array,
    rows: slice,
    hyper: Hyperparameters,
    xp: Namespace,
) -> tuple[Array, Array]:
    """Return a block's part of the batch's mean loss, and its gradient for the logits.

    The loss, but not the gradient, is multiplied by the number of images in the batch.

    logits, labels: of the block, which is `rows` of index
    """
    each, dlogits = losses.per_sample(logits, labels, hyper, xp=xp)
    weights = images.weights
    if weights is not None:
        weights = xp.take(weights, index, axis=0)
        each, dlogits = each * weights[rows], dlogits * weights[rows][:, None]
    batch = float(index.shape[0])
    whole = xp.take(images.labels, index, axis=0) if hyper.class_weights else index
    total = losses.total_weight(whole, weights, hyper, like=logits, xp=xp)
    return xp.sum(each) * (batch / total), dlogits / total


def inputs(
    state: State,
    images: Images,
    index: Array,
    hyper: Hyperparameters,
    ops: Ops,
    first: int = 0,
) -> tuple[Array, Array]:
    """Return the pixels of a batch after distortion, scaling and noise, and its labels.

    index: (batch,), integers in [0, n)
    first: the place of the first of these images in its batch
    returns: x (batch, in_features) in the parameters' dtype, labels (batch,) or
        (batch, outputs)
    """
    xp, like = ops.xp, state.layers[0].weight
    rows = index if images.first is None else index - images.first
    pixels = xp.take(images.pixels, rows, axis=0)
    if hyper.augment is not None:
        pixels = ops.distort(
            pixels,
            index,
            hyper.image_shape,
            hyper.augment,
            seed=hyper.seed,
            epoch=state.step // block_count(images.labels.shape[0], hyper.batch_size),
            like=like,
            xp=xp,
        )
    x = xp.astype(pixels, like.dtype, copy=False)
    if hyper.pixel_scale != 1.0:
        x = x * hyper.pixel_scale
    if hyper.input_noise > 0.0:
        x = x + input_noise(state, x, first, hyper, ops)
    return x, xp.take(images.labels, index, axis=0)


def input_noise(
    state: State, x: Array, first: int, hyper: Hyperparameters, ops: Ops
) -> Array:
    """Return the Gaussian noise that is added to a batch's pixels, shaped like x.

    It depends on the seed, the step, the image's place in its batch and the pixel: the
    generator's four words give four pixels' noise (Bishop, "Training with noise is
    equivalent to Tikhonov regularization", Neural Computation 7, 1995).

    first: the place of x's first image in its batch
    """
    xp, (n, width) = ops.xp, x.shape
    place = first + xp.arange(n, dtype=xp.int64, device=device_of(x))
    numbers = 4 * block_count(width, 4)
    bits = random.words_each(
        place,
        numbers,
        seed=hyper.seed,
        stream=Stream.NOISE,
        time=state.step,
        xp=xp,
    )
    # Put the cosine and the sine that come from one pair of words side by side.
    pairs = xp.reshape(random.normal(xp.reshape(bits, (-1,)), xp=xp), (2, -1))
    normal = xp.reshape(xp.permute_dims(pairs, (1, 0)), (n, numbers))[:, :width]
    return xp.astype(normal, x.dtype) * (hyper.input_noise * hyper.pixel_range)


def dropout_masks(
    state: State, x: Array, first: int, hyper: Hyperparameters, ops: Ops
) -> list[Array | None]:
    """Return dropout's factors for each layer's input; None, or an empty list, means 1.

    first: the place of x's first image in its batch
    """
    if hyper.input_dropout == hyper.dropout == 0.0:
        return []
    rates = [hyper.input_dropout] + [hyper.dropout] * (len(state.layers) - 1)
    return [
        dropout.mask(
            (x.shape[0], layer.weight.shape[0]),
            rate,
            seed=hyper.seed,
            step=state.step,
            layer=i,
            first=first,
            like=x,
            xp=ops.xp,
        )
        if rate > 0.0
        else None
        for i, (layer, rate) in enumerate(zip(state.layers, rates, strict=True))
    ]
