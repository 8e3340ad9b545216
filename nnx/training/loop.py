"""The training loop: from a position in a run to the next one.

Nothing here knows files, signals or screens: `fit` yields where it is, and whoever
asks for the next position decides what to do with this one.
"""

import math
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from nnx.backend import Backend
from nnx.data.dataset import Split
from nnx.data.labels import check_range
from nnx.errors import DivergedError
from nnx.maths import evaluation, random
from nnx.maths.blocks import BLOCK, block
from nnx.maths.distortion import Distortion
from nnx.maths.kernels import Array
from nnx.maths.network import Layers
from nnx.maths.steps import Images, Recipe, State

# A progress update, with its one read-back, about so often.
UPDATE_SECONDS = 0.1


class Row(NamedTuple):
    """An epoch's line in the log.

    train_loss, train_accuracy: the mean over the epoch's batches as they came
    test_loss, test_accuracy: of the network at the epoch's end
    seconds: of training since the run began, without testing and loading
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    seconds: float


class Position(NamedTuple):
    """Everything that changes in a run; training goes on from it exactly.

    epoch: epochs completed
    step: steps completed in the epoch that is running
    """

    state: State
    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    log: tuple[Row, ...] = ()


class Run(NamedTuple):
    """Everything that stays the same in a run; arrays are on the device.

    distortion: of the training images, anew in every epoch; None leaves them
    size: height and width of an image
    """

    backend: Backend
    train: Images
    test: Images
    recipe: Recipe
    test_scale: float
    epochs: int
    seed: int
    distortion: Distortion | None
    size: tuple[int, int]

    @property
    def images(self) -> int:
        """How many training images there are."""
        return int(self.train.labels.shape[0])

    @property
    def steps_per_epoch(self) -> int:
        """How many batches hold all training images; the last may be short."""
        return -(-self.images // self.recipe.batch_size)


class Progress(NamedTuple):
    """A moment in a run.

    epochs: completed so far, with the part of the one that is running
    loss, accuracy: of the epoch so far, or of the whole epoch at its end
    images_per_second: of the running epoch, or of the whole one at its end
    epoch_ended: whether the position is at an epoch's end
    """

    position: Position
    epochs: float
    loss: float
    accuracy: float
    images_per_second: float
    epoch_ended: bool


def on_device(split: Split, classes: int, backend: Backend) -> Images:
    """Return a split's images and labels on the backend's device, as they are.

    Refused: a label that is not an integer in [0, classes), with InputError.
    """
    check_range(np.asarray(split.labels), len(split.images), classes)
    return Images(backend.from_numpy(split.images), backend.from_numpy(split.labels))


def start(layers: Layers, backend: Backend) -> Position:
    """Return the position at which a run of these layers, on the device, begins."""
    return Position(_fresh(layers, backend))


def _fresh(layers: Layers, backend: Backend) -> State:
    """Return the state at an epoch's start."""
    loss_sum = np.zeros((), str(layers[0].weight.dtype).rpartition(".")[2])
    return State(
        layers, backend.from_numpy(loss_sum), backend.from_numpy(np.zeros((), np.int64))
    )


def fit(run: Run, position: Position) -> Iterator[Progress]:
    """Yield the run's progress from a position to the last epoch's end.

    Refused: a loss that is no longer finite, with DivergedError.
    """
    if position.epoch < run.epochs:
        _take_no_step(run, position.state)
    while position.epoch < run.epochs:
        for reached in _epoch(run, position):
            ended = reached.step == run.steps_per_epoch
            position = _end_epoch(run, reached) if ended else reached
            yield _progress(run, position)


def _take_no_step(run: Run, state: State) -> None:
    """Have the backend compile or load what it needs before training is timed.

    The order is as long as an epoch's, from which follows how short its last batch is;
    distorted images are handed over in parts, each with an order of its own.
    """
    n = 0 if run.distortion else run.images
    order = run.backend.xp.zeros(
        n, dtype=run.backend.xp.int64, device=run.train.labels.device
    )
    _steps(run, Position(state), order, 0, {})


def _epoch(run: Run, position: Position) -> Iterator[Position]:
    """Yield positions about every tenth of a second until the epoch's last step."""
    order, kept = _order(run, position.epoch), dict[int, Array]()
    chunk = 1
    while position.step < run.steps_per_epoch:
        began = time.perf_counter()
        last = min(position.step + chunk, run.steps_per_epoch)
        state = _steps(run, position, order, last, kept)
        _check_finite(run, _float(run, state.loss_sum), position.epoch, last)
        elapsed = time.perf_counter() - began
        position = position._replace(
            state=state, step=last, seconds=position.seconds + elapsed
        )
        yield position
        # Powers of two, so that a backend which compiles for a length does so rarely.
        if elapsed < UPDATE_SECONDS / 2:
            chunk *= 2
        elif elapsed > UPDATE_SECONDS * 2:
            chunk = max(1, chunk // 2)


def _steps(
    run: Run, position: Position, order: Array, last: int, kept: dict[int, Array]
) -> State:
    """Return the state after the epoch's steps from the position to the last one.

    kept: see `_distorted`
    """
    images, first = run.train, position.step
    if run.distortion is not None:
        some = slice(images_in(run, first), images_in(run, last))
        images = _distorted(run, position, order, some, kept)
        order = run.backend.xp.arange(
            images.labels.shape[0], dtype=order.dtype, device=order.device
        )
        first, last = 0, last - first
    return run.backend.run_steps(
        position.state, images, order, first, last, run.recipe, run.backend
    )


def _distorted(
    run: Run, position: Position, order: Array, some: slice, kept: dict[int, Array]
) -> Images:
    """Return some images of an epoch's order, distorted for this epoch.

    Always in the same blocks, however the epoch is cut into steps: a library may round
    otherwise for another number of images.

    kept: the last block, by its number, for the steps that go on in it
    """
    xp, parts = run.backend.xp, []
    for i in range(some.start // BLOCK, max(1, -(-some.stop // BLOCK))):
        if i not in kept:
            index = order[block(i, order.shape[0], BLOCK)]
            kept.clear()
            kept[i] = run.backend.distort(
                xp.take(run.train.pixels, index, axis=0),
                index,
                run.size,
                run.distortion,
                seed=run.seed,
                epoch=position.epoch,
                like=position.state.layers[0].weight,
                xp=xp,
            )
        parts.append(kept[i][max(some.start - i * BLOCK, 0) : some.stop - i * BLOCK, :])
    return Images(xp.concat(parts), xp.take(run.train.labels, order[some], axis=0))


def _order(run: Run, epoch: int) -> Array:
    """Return the order of an epoch's images; a full batch has no use for a shuffle."""
    n, xp = run.images, run.backend.xp
    if run.recipe.batch_size >= n:
        return xp.arange(n, dtype=xp.int64, device=run.train.labels.device)
    return random.permutation(
        n, seed=run.seed, epoch=epoch, xp=xp, device=run.train.labels.device
    )


def images_in(run: Run, step: int) -> int:
    """Return how many images of the epoch its first steps take."""
    return min(step * run.recipe.batch_size, run.images)


def _float(run: Run, array: Array) -> float:
    """Return a number of the device's, which waits for the device."""
    return float(run.backend.to_numpy(array))


def _check_finite(run: Run, loss: float, epoch: int, step: int) -> None:
    if not math.isfinite(loss):
        raise DivergedError(
            f"training diverged: the loss is {loss} in epoch {epoch + 1} by step "
            f"{step}; try a learning rate below {run.recipe.learning_rate:g}, or "
            "smaller initial weights"
        )


def _end_epoch(run: Run, position: Position) -> Position:
    """Return the position at the next epoch's start, this epoch's row in the log."""
    state, n = position.state, run.images
    test_loss, test_accuracy = score(run, state.layers, run.test, run.test_scale)
    _check_finite(run, test_loss, position.epoch, position.step)
    row = Row(
        epoch=position.epoch + 1,
        train_loss=_float(run, state.loss_sum) / n,
        train_accuracy=_float(run, state.hits) / n,
        test_loss=test_loss,
        test_accuracy=test_accuracy,
        seconds=position.seconds,
    )
    return position._replace(
        state=_fresh(state.layers, run.backend),
        epoch=row.epoch,
        step=0,
        log=(*position.log, row),
    )


def score(
    run: Run, layers: Layers, images: Images, scale: float
) -> tuple[float, float]:
    """Return the mean loss in nats and the accuracy in [0, 1] on some images."""
    loss_sum, hits = evaluation.evaluate(
        layers, images, run.recipe.activations, scale, run.backend
    )
    n = images.labels.shape[0]
    return _float(run, loss_sum) / n, _float(run, hits) / n


def _progress(run: Run, position: Position) -> Progress:
    epochs = position.epoch + position.step / run.steps_per_epoch
    began = [0.0, *(row.seconds for row in position.log)]
    if position.step == 0:
        row = position.log[-1]
        loss, accuracy = row.train_loss, row.train_accuracy
        speed = run.images / (began[-1] - began[-2])
    else:
        n = images_in(run, position.step)
        loss, accuracy = (_float(run, total) / n for total in position.state[1:])
        speed = n / (position.seconds - began[-1])
    return Progress(position, epochs, loss, accuracy, speed, position.step == 0)
