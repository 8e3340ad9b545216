"""Training a network on a data set, with or without a folder to keep the run in."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from nnx.backend import Backend, find, threaded
from nnx.data.dataset import Dataset
from nnx.data.digest import digest
from nnx.errors import OutOfMemoryError
from nnx.maths.blocks import BLOCK
from nnx.model_file import MODEL_NAME, Model
from nnx.network import Network, to_host
from nnx.settings import Training
from nnx.training import loop
from nnx.training.folder import Keeper, prepare
from nnx.training.log import Row, best
from nnx.training.run import Position, Progress, Run
from nnx.training.setup import batch_size, begun, fitted, held_out, run_of

# What an epoch takes with NumPy, roughly: for each step, for each parameter an image,
# and for an image's distortion.
STEP_SECONDS, PARAMETER_SECONDS, DISTORTION_SECONDS = 1e-4, 6e-11, 1e-4
SHORT_SECONDS = 2.0


class Result(NamedTuple):
    """A run's outcome.

    network: as it is after the last step, or after the best epoch
    train_loss, test_loss: mean, in nats, of that network
    train_accuracy, test_accuracy: of that network, in [0, 1]
    validation_loss, validation_accuracy: the same on the images held out for choosing
    seconds: of training, without loading and testing
    images_per_second: in training
    log: a row for each epoch
    stopped: whether training was stopped before its last epoch's end
    ended_early: whether it ended before that as nothing better came
    best_epoch: whose weights these are where early stopping chose them
    trained: whether there was anything left to do
    """

    network: Network
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    seconds: float
    images_per_second: float
    log: tuple[Row, ...]
    stopped: bool
    ended_early: bool
    best_epoch: int | None
    trained: bool


def train(
    network: Network,
    data: Dataset,
    *,
    backend: str | Backend = "auto",
    out: str | PathLike[str] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
    **settings: Any,
) -> Result:
    """Return the outcome of training a copy of the network; it is left as it was.

    backend: a name in nnx.backends(), a Backend, or "auto": numba where it works,
        and numpy elsewhere and for a run of under two seconds
    out: a folder for log, checkpoint and model; nothing is kept without it
    resume: go on from the folder's checkpoint, to the same bits as one long run
    overwrite: replace a run that the folder holds
    on_progress: called about ten times a second, and at each epoch's end
    should_stop: asked as often; once it says so, the run is saved and ends
    settings: epochs, batch_size, learning_rate, …: see nnx.Training
    Refused: InputError for settings and data that do not fit; DivergedError for a
        loss that is no longer finite; OutOfMemoryError for a device without room.
    """
    training = Training(**settings)
    model = fitted(network, data, training)
    chosen = backend_for(backend, network, data, training)
    kept = digest(data)[:16] if out is not None else ""
    data, validation = held_out(data, training)
    with _advising(batch_size(training, data)), chosen.scope():
        run = run_of(model, data, validation, training, chosen)
        position = begun(run, model, training)
        keep = None
        if out is not None:
            prepare(Path(out), resume=resume, overwrite=overwrite)
            keep = Keeper(Path(out), model, training, kept, chosen)
            position = keep.load(position) if resume else position
        reached = _follow(run, position, keep, on_progress, should_stop)
        result = _result(run, reached, model, data, trained=reached is not position)
    if keep is not None:
        result.network.save(keep.folder / MODEL_NAME)
    return result


def backend_for(
    backend: str | Backend,
    network: Network,
    data: Dataset,
    training: Training,
    threads: int | None = None,
    **options: Any,
) -> Backend:
    """Return the backend asked for; see `train` for what "auto" is.

    A short run would spend more on loading and compiling kernels than on training.

    threads: of the numba backend's team; the others take theirs from BLAS
    options: as for `nnx.find`
    """
    if isinstance(backend, Backend):
        return backend
    n = len(data.train.labels)
    steps = -(-n // batch_size(training, data))
    seconds = STEP_SECONDS * steps + n * network.parameters * PARAMETER_SECONDS
    if training.augment:
        seconds += n * DISTORTION_SECONDS
    short = training.epochs * seconds < SHORT_SECONDS
    found = find("numpy" if backend == "auto" and short else backend, **options)
    return threaded(found, threads)


@contextmanager
def _advising(images: int) -> Iterator[None]:
    """Say what would take less memory than a batch of so many images."""
    try:
        yield
    except OutOfMemoryError as error:
        # Of a larger batch, so many images are on their way at once.
        smaller = min(images, BLOCK) // 2
        batch = f"--batch-size {smaller} or " if smaller else ""
        raise OutOfMemoryError(f"{error}; try {batch}a smaller --hidden") from None


def _follow(
    run: Run,
    position: Position,
    keep: Keeper | None,
    on_progress: Callable[[Progress], None],
    should_stop: Callable[[], bool],
) -> Position:
    """Return where the run ended, saved at every epoch's end and when stopped."""
    for progress in loop.fit(run, position):
        position = progress.position
        stop = should_stop()
        if keep is not None and (progress.epoch_ended or stop):
            keep.save(position)
        on_progress(progress)
        if stop:
            break
    return position


def _result(
    run: Run, position: Position, model: Model, data: Dataset, trained: bool
) -> Result:
    layers = position.best or loop.in_use(position.state, run.backend)
    train_loss, train_accuracy = loop.score(run, layers, run.train, run.recipe.scale)
    held = loop.score(run, layers, run.held, run.held_scale)
    test_loss, test_accuracy = held
    if run.validated:
        test = loop.on_device(data.test, len(model.classes), run.backend)
        scale = model.scale(data.test.images.dtype)
        test_loss, test_accuracy = loop.score(run, layers, test, scale)
    for loss in train_loss, test_loss:
        loop.check_finite(run, loss, "when all is done")
    images = position.epoch * run.images + run.images_in(position.step)
    return Result(
        network=Network.of(model._replace(layers=to_host(layers, run.backend))),
        train_loss=train_loss,
        train_accuracy=train_accuracy,
        test_loss=test_loss,
        test_accuracy=test_accuracy,
        validation_loss=held[0] if run.validated else None,
        validation_accuracy=held[1] if run.validated else None,
        seconds=position.seconds,
        images_per_second=images / position.seconds if position.seconds else 0.0,
        log=position.log,
        stopped=not run.is_done(position),
        ended_early=run.is_done(position) and position.epoch < run.epochs,
        best_epoch=best(position.log).epoch if position.best else None,
        trained=trained,
    )
