"""The training loop: from a position in a run to the next one.

Nothing here knows files, signals or screens: `fit` yields each position, and the caller
decides what to do with it before asking for the next.
"""

import time
from collections.abc import Iterator
from typing import NamedTuple

from nnx.denormals import flushed
from nnx.maths import evaluation
from nnx.maths.arrays import Array
from nnx.maths.network import inference_layers
from nnx.maths.state import Images, Layers, no_sums
from nnx.training import scores, windows
from nnx.training.finite import check_arrays, check_loss
from nnx.training.log import Row, best
from nnx.training.plan import Part, Plan, Position, Progress, epoch_hyper

# Rough time between progress updates, each of which reads back from the device once.
UPDATE_SECONDS = 0.1
# The pause between two checks of the state's arrays, in multiples of a check's time.
CHECK_PAUSE = 100


class Scored(NamedTuple):
    """A network's mean loss, and its accuracy or R².

    score_sum: the sum that the score is computed from, as in `maths.state.State`
    """

    loss: float
    score: float
    score_sum: Array


def fit(plan: Plan, position: Position) -> Iterator[Progress]:
    """Train from a position to the end of the last epoch, and yield the progress.

    Progress is yielded about every tenth of a second, and at the end of each epoch.

    Raises:
        DivergedError: the loss, or an array of the state, is no longer finite
    """
    if plan.is_done(position):
        return
    order, chunk, check_is_due = epoch_order(plan, position), 1, 0.0
    hyper = epoch_hyper(plan.hyper, position.log)
    coming = windows.trained(plan, position)
    images: Images | None = next(coming)
    # Zero steps: the backend compiles or loads what it needs before training is timed.
    plan.backend.run_steps(position.state, images, order, 0, hyper)
    while not plan.is_done(position):
        if order is None:
            order = epoch_order(plan, position)
            hyper = epoch_hyper(plan.hyper, position.log)
        began = _now(plan)
        images = images or next(coming)
        left = plan.steps_left(position)
        count = min(chunk, left)
        with flushed():
            state = plan.backend.run_steps(position.state, images, order, count, hyper)
        if count == left:
            images = None
        loss_sum = float(_read(plan, state.loss_sum))
        ended = _now(plan)
        elapsed = ended - began
        position = position._replace(state=state, seconds=position.seconds + elapsed)
        check_loss(plan, position, loss_sum)
        if ended >= check_is_due:
            check_arrays(plan, position)
            checked = _now(plan)
            check_is_due = checked + CHECK_PAUSE * (checked - ended)
        progress = _progress(plan, position)
        if plan.steps_done(position) == plan.steps_per_epoch:
            order, progress = None, _end_epoch(plan, progress)
        position = progress.position
        yield progress
        if elapsed < UPDATE_SECONDS / 2:
            chunk = min(2 * chunk, plan.steps_per_epoch)
        elif elapsed > UPDATE_SECONDS * 2:
            chunk = max(1, chunk // 2)


def epoch_order(plan: Plan, position: Position) -> Array:
    """Return the order of an epoch's images; a full batch is not shuffled."""
    n, xp, device = plan.images, plan.backend.xp, plan.train.labels.device
    if plan.hyper.batch_size >= n:
        return xp.arange(n, dtype=xp.int64, device=device)
    return windows.order(plan, len(position.log))


def _now(plan: Plan) -> float:
    """Return the time in seconds, by the clock of the first process."""
    return float(plan.backend.ops.communicator.broadcast(time.perf_counter()))


def _read(plan: Plan, array: Array) -> Array:
    """Copy an array from the device to the host, which waits for the device."""
    return plan.backend.to_numpy(array)


def _progress(plan: Plan, position: Position) -> Progress:
    """Return the progress at a position in the current epoch, or at its last step."""
    state, n = position.state, plan.images_done(position)
    began = position.log[-1].seconds if position.log else 0.0
    return Progress(
        position,
        epochs=state.step / plan.steps_per_epoch,
        total_epochs=plan.hyper.epochs,
        loss=float(_read(plan, state.loss_sum)) / n,
        score=scores.score(
            _read(plan, state.score_sum), n, plan.variation, plan.images
        ),
        images_per_second=n / (position.seconds - began),
        epoch_ended=False,
        metric=plan.metric,
        part="validation" if plan.has_validation else "test",
        samples=plan.samples,
    )


def _end_epoch(plan: Plan, progress: Progress) -> Progress:
    """Return the progress at the start of the next epoch, with this one in the log."""
    position, state = progress.position, progress.position.state
    layers = inference_layers(state, xp=plan.backend.xp)
    monitored = score(plan, layers, plan.monitored)
    check_loss(plan, position, monitored.loss)
    none = None, None
    validation, test = (monitored, none) if plan.has_validation else (none, monitored)
    row = Row(
        epoch=len(position.log) + 1,
        train_loss=progress.loss,
        train_score=progress.score,
        validation_loss=validation[0],
        validation_score=validation[1],
        test_loss=test[0],
        test_score=test[1],
        seconds=position.seconds,
        metric=plan.metric,
    )
    log = (*position.log, row)
    is_best = plan.patience > 0 and best(log) is row
    loss_sum, score_sum = no_sums(state.layers, plan.hyper, plan.backend.ops)
    position = position._replace(
        state=state._replace(loss_sum=loss_sum, score_sum=score_sum),
        log=log,
        best=layers if is_best else position.best,
    )
    return progress._replace(position=position, epoch_ended=True)


def score(plan: Plan, layers: Layers, part: Part) -> Scored:
    """Return the loss and score of layers on a part of the data."""
    hyper, ops = plan.hyper._replace(pixel_scale=part.pixel_scale), plan.backend.ops
    loss_sum, score_sum = 0, 0
    for images in windows.all_of(part.images, plan.window, plan.backend):
        loss, score = evaluation.evaluate(layers, images, hyper, ops)
        loss_sum, score_sum = loss_sum + loss, score_sum + score
    n, score_sum = part.images.labels.shape[0], _read(plan, score_sum)
    score = scores.score(score_sum, n, part.variation, n)
    return Scored(float(_read(plan, loss_sum)) / n, score, score_sum)
