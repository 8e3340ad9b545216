"""Training a network on a data set, with or without a folder to keep the run in."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nnx.backend import Backend, find
from nnx.data.dataset import Dataset, Split
from nnx.data.digest import digest
from nnx.data.split import parted
from nnx.errors import InputError, OutOfMemoryError
from nnx.maths.blocks import BLOCK
from nnx.maths.steps import Recipe
from nnx.model_file import MODEL_NAME, Model
from nnx.network import Network, to_device, to_host
from nnx.settings import Training, distortion_from, schedule_from
from nnx.training import loop
from nnx.training.folder import Keeper, prepare
from nnx.training.loop import Position, Progress, Row, Run
from nnx.training.pace import Pace

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
    out: a folder for config, log, checkpoint and model; nothing is kept without it
    resume: go on from the folder's checkpoint, to the same bits as one long run
    overwrite: replace a run that the folder holds
    on_progress: called about ten times a second, and at each epoch's end
    should_stop: asked as often; once it says so, the run is saved and ends
    settings: epochs, batch_size, learning_rate, …: see nnx.Training
    Refused: InputError for settings and data that do not fit; DivergedError for a
        loss that is no longer finite; OutOfMemoryError for a device without room.
    """
    training = Training(**settings)
    chosen = backend_for(backend, network, data, training)
    model = _fitted(network, data, training)
    kept = digest(data)[:16] if out is not None else ""
    data, validation = _held_out(data, training)
    with _advising(_batch_size(training, data)), chosen.scope():
        run = _run(model, data, validation, training, chosen)
        position = loop.start(
            to_device(model.layers, chosen),
            chosen,
            optimizer=run.recipe.optimizer,
            batch_norm=training.batch_norm,
            averaged=training.averaging > 0.0,
        )
        keep = None
        if out is not None:
            prepare(Path(out), resume=resume, overwrite=overwrite)
            keep = Keeper(Path(out), model, training, kept, chosen)
            position = keep.load(position) if resume else position
        position = _follow(run, position, keep, on_progress, should_stop)
        result = _result(run, position, model, data)
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
    steps = -(-n // _batch_size(training, data))
    seconds = STEP_SECONDS * steps + n * network.parameters * PARAMETER_SECONDS
    if training.augment:
        seconds += n * DISTORTION_SECONDS
    short = training.epochs * seconds < SHORT_SECONDS
    found = find("numpy" if backend == "auto" and short else backend, **options)
    return find("numba", threads=threads) if found.name == "numba" else found


def _batch_size(training: Training, data: Dataset) -> int:
    """Return how many images a step takes; no more than there are."""
    n, size = len(data.train.labels), training.batch_size
    return min(size, n) if isinstance(size, int) else n


@contextmanager
def _advising(batch_size: int) -> Iterator[None]:
    """Say what would take less memory, where a device has too little."""
    try:
        yield
    except OutOfMemoryError as error:
        # Of a larger batch, so many images are on their way at once.
        smaller = min(batch_size, BLOCK) // 2
        batch = f"--batch-size {smaller} or " if smaller else ""
        raise OutOfMemoryError(f"{error}; try {batch}a smaller --hidden") from None


def _fitted(network: Network, data: Dataset, training: Training) -> Model:
    """Return the network's model as it is for this data, refused if it is not."""
    features, classes = data.train.images.shape[1], len(data.classes)
    if (network.sizes[0], network.sizes[-1]) != (features, classes):
        raise InputError(
            f"{data.name} has {features} features and {classes} classes; "
            f"a network {network.model} does not fit it"
        )
    if training.augment and data.frame.height == 1:
        raise InputError(
            f"augment needs pictures; {data.name} has {features} features in a row"
        )
    weights = training.class_weights
    if weights and weights != "balanced" and len(weights) != classes:
        raise InputError(
            f"class_weights has {len(weights)} numbers; {data.name} has {classes} "
            "classes"
        )
    return network.model._replace(
        classes=data.classes, frame=data.frame, pixels=training.pixels
    )


def _held_out(data: Dataset, training: Training) -> tuple[Dataset, Split | None]:
    """Return the data to train on, and what is held out of them for choosing."""
    n = len(data.train.labels)
    if training.validation == 0.0:
        return data, None
    if n < 2:
        raise InputError(f"validation needs 2 or more training images, not {n}")
    held = min(max(1, round(n * training.validation)), n - 1)
    train, validation = parted(data.train, held)
    return data._replace(train=train), validation


def _run(
    model: Model,
    data: Dataset,
    validation: Split | None,
    training: Training,
    backend: Backend,
) -> Run:
    classes = len(model.classes)
    held = data.test if validation is None else validation
    return Run(
        backend=backend,
        train=loop.on_device(data.train, classes, backend),
        held=loop.on_device(held, classes, backend),
        recipe=_recipe(model, data, training),
        held_scale=model.scale(held.images.dtype),
        pace=_pace(training),
        seed=training.seed,
        distortion=distortion_from(training.augment),
        size=(data.frame.height, data.frame.width),
        validated=validation is not None,
        early_stopping=training.early_stopping,
    )


def _recipe(model: Model, data: Dataset, training: Training) -> Recipe:
    return Recipe(
        activations=model.activations,
        scale=model.scale(data.train.images.dtype),
        batch_size=_batch_size(training, data),
        optimizer=_optimizer(training),
        beta2=float(training.beta2),
        l1=training.l1,
        l2=training.l2,
        weight_decay=training.weight_decay,
        clip_norm=training.clip_norm,
        max_norm=training.max_norm,
        input_dropout=training.input_dropout,
        dropout=training.dropout,
        smoothing=training.label_smoothing,
        class_weights=_class_weights(data, training),
        seed=training.seed,
    )


def _pace(training: Training) -> Pace:
    return Pace(
        learning_rate=float(training.learning_rate),
        momentum=float(training.momentum),
        schedule=schedule_from(training.schedule),
        momentum_schedule=schedule_from(training.momentum_schedule),
        optimizer=_optimizer(training),
        beta2=float(training.beta2),
        averaging=training.averaging,
        epochs=training.epochs,
    )


def _optimizer(training: Training) -> str:
    """Return what the maths calls it; decay is decoupled in any of them."""
    if training.optimizer == "sgd" and float(training.momentum) > 0.0:
        return "momentum"
    return "adam" if training.optimizer == "adamw" else training.optimizer


def _class_weights(data: Dataset, training: Training) -> tuple[float, ...]:
    """Return what each class counts; balanced, one that is rare as much as any."""
    if not isinstance(training.class_weights, str):
        return training.class_weights
    counts = np.bincount(data.train.labels, minlength=len(data.classes))
    weights = len(data.train.labels) / (len(counts) * np.maximum(counts, 1))
    return tuple(map(float, weights))


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


def _result(run: Run, position: Position, model: Model, data: Dataset) -> Result:
    layers = position.best or loop.in_use(position.state, run.backend)
    train_loss, train_accuracy = loop.score(run, layers, run.train, run.recipe.scale)
    held = loop.score(run, layers, run.held, run.held_scale)
    test_loss, test_accuracy = held
    if run.validated:
        test = loop.on_device(data.test, len(model.classes), run.backend)
        scale = model.scale(data.test.images.dtype)
        test_loss, test_accuracy = loop.score(run, layers, test, scale)
    images = position.epoch * run.images + loop.images_in(run, position.step)
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
        stopped=not loop.is_done(run, position),
    )
