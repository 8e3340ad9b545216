"""The training loop: from a position in a run to the next one.

Nothing here knows files, signals or screens: `fit` yields where it is, and whoever
asks for the next position decides what to do with this one.
"""

import math
import time
from collections.abc import Iterator

import numpy as np

from nnx.backend import Backend
from nnx.data.dataset import Split
from nnx.data.labels import check_range
from nnx.errors import DivergedError
from nnx.maths import evaluation, network, random
from nnx.maths.batch_norm import Moments
from nnx.maths.blocks import BLOCK, block
from nnx.maths.kernels import Array
from nnx.maths.network import Layer, Layers, NormedLayer, Trained
from nnx.maths.optimizers import OPTIMIZERS
from nnx.maths.steps import Epoch, Images, State
from nnx.training import pace
from nnx.training.log import Row, best
from nnx.training.run import Position, Progress, Run

# A progress update, with its one read-back, about so often.
UPDATE_SECONDS = 0.1


def on_device(split: Split, classes: int, backend: Backend) -> Images:
    """Return a split's images and labels on the backend's device, as they are.

    Refused: a label that is not an integer in [0, classes), with InputError.
    """
    check_range(np.asarray(split.labels), len(split.images), classes)
    return Images(backend.from_numpy(split.images), backend.from_numpy(split.labels))


def start(
    layers: Layers,
    backend: Backend,
    *,
    optimizer: str = "sgd",
    batch_norm: bool = False,
    averaged: bool = False,
) -> Position:
    """Return the position at which a run of these layers, on the device, begins.

    batch_norm: whether the hidden layers are normalized
    averaged: whether a moving average of the layers is kept
    """
    xp, normed = backend.xp, layers[:-1] if batch_norm else []
    trained: list[Layer | NormedLayer] = [
        *(NormedLayer(*layer, xp.ones_like(layer.bias)) for layer in normed),
        *layers[len(normed) :],
    ]
    moments = tuple(
        Moments(xp.zeros_like(layer.bias), xp.ones_like(layer.bias)) for layer in normed
    )
    slots: tuple[Trained, ...] = tuple(
        [type(layer)(*map(xp.zeros_like, layer)) for layer in trained]
        for _ in range(OPTIMIZERS[optimizer].slots)
    )
    sums = _no_sums(layers, backend)
    averages = trained if averaged else ()
    return Position(State(trained, *sums, slots, moments, averages))


def _no_sums(layers: Layers, backend: Backend) -> tuple[Array, Array]:
    """Return an epoch's loss and hits at its start."""
    kind = str(layers[0].weight.dtype).rpartition(".")[2]
    loss_sum, hits = np.zeros((), kind), np.zeros((), np.int64)
    return backend.from_numpy(loss_sum), backend.from_numpy(hits)


def in_use(state: State, backend: Backend) -> Layers:
    """Return the plain layers that a state's network is used with."""
    layers = state.averages or state.layers
    return list(network.folded(layers, state.moments, xp=backend.xp))


def fit(run: Run, position: Position) -> Iterator[Progress]:
    """Yield the run's progress from a position to the last epoch's end.

    Refused: a loss that is no longer finite, with DivergedError.
    """
    if not run.is_done(position):
        _take_no_step(run, position.state)
    while not run.is_done(position):
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
    _steps(run, Position(state), _with_rates(run, Position(state), order), 0, {})


def _epoch(run: Run, position: Position) -> Iterator[Position]:
    """Yield positions about every tenth of a second until the epoch's last step."""
    order, kept = _order(run, position.epoch), dict[int, Array]()
    epoch = _with_rates(run, position, order)
    chunk = 1
    while position.step < run.steps_per_epoch:
        began = time.perf_counter()
        last = min(position.step + chunk, run.steps_per_epoch)
        state = _steps(run, position, epoch, last, kept)
        check_finite(run, _float(run, state.loss_sum), _when(position.epoch, last))
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


def _with_rates(run: Run, position: Position, order: Array) -> Epoch:
    """Return the epoch that the position is in."""
    steps, scores = run.steps_per_epoch, [row.held[1] for row in position.log]
    rates = pace.rates(run.pace, position.epoch, steps, scores)
    return Epoch(order, rates, position.epoch * steps)


def _steps(
    run: Run, position: Position, epoch: Epoch, last: int, kept: dict[int, Array]
) -> State:
    """Return the state after the epoch's steps from the position to the last one.

    kept: see `_distorted`
    """
    images, first = run.train, position.step
    if run.distortion is not None:
        some = slice(run.images_in(first), run.images_in(last))
        images = _distorted(run, position, epoch.order, some, kept)
        order = run.backend.xp.arange(
            images.labels.shape[0], dtype=epoch.order.dtype, device=epoch.order.device
        )
        epoch = Epoch(order, epoch.rates[first:last], epoch.begin + first)
        first, last = 0, last - first
    return run.backend.run_steps(
        position.state, images, epoch, first, last, run.recipe, run.backend
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


def _float(run: Run, array: Array) -> float:
    """Return a number of the device's, which waits for the device."""
    return float(run.backend.to_numpy(array))


def check_finite(run: Run, loss: float, when: str) -> None:
    """Refuse a loss that is no number, or infinite, with DivergedError."""
    if not math.isfinite(loss):
        raise DivergedError(
            f"training diverged: the loss is {loss} {when}; try a learning rate below "
            f"{run.pace.learning_rate:g}, or smaller initial weights"
        )


def _when(epoch: int, step: int) -> str:
    return f"in epoch {epoch + 1} by step {step}"


def _end_epoch(run: Run, position: Position) -> Position:
    """Return the position at the next epoch's start, this epoch's row in the log."""
    state, n = position.state, run.images
    layers = in_use(state, run.backend)
    held = score(run, layers, run.held, run.held_scale)
    check_finite(run, held[0], _when(position.epoch, position.step))
    none = None, None
    validation, test = (held, none) if run.validated else (none, held)
    row = Row(
        epoch=position.epoch + 1,
        train_loss=_float(run, state.loss_sum) / n,
        train_accuracy=_float(run, state.hits) / n,
        validation_loss=validation[0],
        validation_accuracy=validation[1],
        test_loss=test[0],
        test_accuracy=test[1],
        seconds=position.seconds,
    )
    log = (*position.log, row)
    is_best = run.early_stopping > 0 and best(log) is row
    loss_sum, hits = _no_sums(layers, run.backend)
    return position._replace(
        state=state._replace(loss_sum=loss_sum, hits=hits),
        epoch=row.epoch,
        step=0,
        log=log,
        best=layers if is_best else position.best,
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
        n = run.images_in(position.step)
        loss = _float(run, position.state.loss_sum) / n
        accuracy = _float(run, position.state.hits) / n
        speed = n / (position.seconds - began[-1])
    return Progress(position, epochs, loss, accuracy, speed, position.step == 0)
