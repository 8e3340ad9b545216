"""Where a run diverged: the first layer and operation with a result that is not finite.

Each step is determined by the state before it, so the steps since the last finite
position are repeated one at a time. The step that spoils the state is then repeated
operation by operation, with the plain maths.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from nnx.denormals import flushed
from nnx.errors import DivergedError
from nnx.maths import losses, network, steps
from nnx.maths.arrays import Array
from nnx.maths.blocks import block, blocks
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.schedules import at_steps
from nnx.maths.state import Images, State
from nnx.training import loop, windows
from nnx.training.finite import check_arrays, first_not_finite
from nnx.training.plan import Plan, Position, Progress, epoch_hyper


def fit(plan: Plan, position: Position) -> Iterator[Progress]:
    """Train as `loop.fit` does; if training diverges, name the operation responsible.

    Raises:
        DivergedError: as for `loop.fit`; all positions yielded before are finite
    """
    try:
        for progress in loop.fit(plan, position):
            check_arrays(plan, progress.position)
            position = progress.position
            yield progress
    except DivergedError as error:
        raise DivergedError(f"{error}; {fault(plan, position)}") from None


@np.errstate(all="ignore")
def fault(plan: Plan, position: Position) -> str:
    """Describe the first result that is not finite in the epoch after a position.

    position: has only finite numbers
    """
    if plan.is_done(position):
        return "every step was finite"
    order = loop.epoch_order(plan, position)
    hyper, state = epoch_hyper(plan.hyper, position.log), position.state
    coming, done = windows.trained(plan, position), plan.steps_done(position)
    images = None
    for now in range(done, plan.steps_per_epoch):
        if images is None or now % plan.steps_per_window == 0:
            images = next(coming)
        after: Any
        with flushed():
            after = plan.backend.run_steps(state, images, order, 1, hyper)
        if name := first_not_finite(after._replace(step=None), plan.backend):
            epoch, step = divmod(state.step, plan.steps_per_epoch)
            what = _operation(plan, images, state, order, hyper) or name
            return f"first in epoch {epoch + 1}, step {step + 1}: {what}"
        state = after
    return "every step was finite, but not the loss of the images not trained on"


def _operation(
    plan: Plan, images: Images, state: State, order: Array, hyper: Hyperparameters
) -> str:
    """Return the step's first operation whose result is not finite; "" if all are."""
    size, per_epoch = plan.hyper.batch_size, plan.steps_per_epoch
    index = order[block(state.step % per_epoch, plan.images, size)]
    [now] = at_steps(hyper, state.step, 1, per_epoch)
    for words, result in _operations(plan._replace(train=images), state, index, now):
        if first_not_finite(result, plan.backend):
            return words
    return ""


def _operations(
    plan: Plan, state: State, index: Array, hyper: Hyperparameters
) -> Iterator[tuple[str, Any]]:
    """Yield a step's operations in order, each as its description and its result.

    index: (batch,), integers in [0, n)
    hyper: of this step
    """
    images, ops, count = plan.train, plan.backend.ops, len(state.layers)
    for rows in blocks(index.shape[0]):
        yield from _of_block(plan, state, index, rows, hyper)
    gradients = steps.batch_gradients(state, images, index, hyper, ops).gradients
    for i in reversed(range(count)):
        yield f"the penalized gradient of layer {i + 1}", gradients[i]
    after = steps.step(state, images, index, hyper, ops)
    for i in range(count):
        memory = [arrays[i] for arrays in after.optimizer_state]
        yield f"the state of {hyper.optimizer} for layer {i + 1}", memory
        yield f"the update of layer {i + 1} by {hyper.optimizer}", after.layers[i]
    yield "the moving average of the weights", after.ema
    yield "the sum of the epoch's losses", after.loss_sum
    yield "the sum of the epoch's scores", after.score_sum


def _of_block(
    plan: Plan, state: State, index: Array, rows: slice, hyper: Hyperparameters
) -> Iterator[tuple[str, Any]]:
    """Yield a block's operations, from its images to its gradients.

    index: (batch,), integers in [0, n)
    rows: the block's rows of index
    """
    images, ops, layers = plan.train, plan.backend.ops, state.layers
    x, labels = steps.inputs(state, images, index[rows], hyper, ops, rows.start)
    yield "the pixels", x
    masks = steps.dropout_masks(state, x, rows.start, hyper, ops)
    how = hyper.activations, ops
    seen = network.forward(layers, x, *how, state.running_stats, masks)
    outputs = [cache.x for cache in seen.caches[1:]]
    for i, (layer, cache) in enumerate(zip(layers, seen.caches, strict=True)):
        z = cache.x @ layer.weight
        z = z + layer.bias if cache.normalized is None else z
        yield f"the product of layer {i + 1}", z
        yield f"the batch normalization of layer {i + 1}", cache.normalized
        yield f"the running statistics of layer {i + 1}", seen.running_stats[i]
        if i < len(outputs):
            activation = hyper.activations[i]
            yield f"the activation of layer {i + 1}, {activation}", outputs[i]
    each, _ = losses.per_sample(seen.logits, labels, hyper, xp=ops.xp)
    yield f"the loss, {hyper.loss}", each
    loss_sum, dlogits = steps.batch_loss(
        seen.logits, labels, images, index, rows, hyper, ops.xp
    )
    yield "the sum of the batch's losses", loss_sum
    yield f"the gradient of the loss, {hyper.loss}", dlogits
    gradients = network.backward(layers, seen.caches, dlogits, *how, masks)
    for i in reversed(range(len(layers))):
        yield f"the gradient of layer {i + 1}", gradients[i]
