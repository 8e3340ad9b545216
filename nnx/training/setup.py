"""Making a run of settings, a model and data, which are refused if they do not fit."""

import numpy as np

from nnx.backend import Backend
from nnx.data.dataset import Dataset, Split
from nnx.data.labels import check_range
from nnx.data.pixels import check_images
from nnx.data.split import parted
from nnx.errors import InputError
from nnx.maths.steps import Recipe
from nnx.model_file import Model
from nnx.network import Network, to_device
from nnx.notation import distortion_from, schedule_from
from nnx.settings import Training
from nnx.training.loop import on_device, start
from nnx.training.pace import Pace
from nnx.training.run import Position, Run


def batch_size(training: Training, data: Dataset) -> int:
    """Return how many images a step takes; no more than there are."""
    n, size = len(data.train.labels), training.batch_size
    return min(size, n) if isinstance(size, int) else n


def fitted(network: Network, data: Dataset, training: Training) -> Model:
    """Return the network's model as it is for this data, refused if it is not.

    Images and labels are looked at before any are moved or left for the end.
    """
    features, classes = data.train.images.shape[-1], len(data.classes)
    for part in data.train, data.test:
        check_images(part.images, features)
        check_range(np.asarray(part.labels), len(part.images), classes)
    if (network.sizes[0], network.sizes[-1]) != (features, classes):
        raise InputError(
            f"{data.name} has {features} features and {classes} classes; "
            f"a network {network.model} does not fit it"
        )
    if training.augment and data.frame.height == 1:
        raise InputError(
            f"augment needs pictures; {data.name} has {features} features in a row"
        )
    n = len(data.train.labels)
    if training.validation and n < 2:
        raise InputError(f"validation needs 2 or more training images, not {n}")
    weights = training.class_weights
    if weights and weights != "balanced" and len(weights) != classes:
        raise InputError(
            f"class_weights has {len(weights)} numbers; {data.name} has {classes} "
            "classes"
        )
    return network.model._replace(
        classes=data.classes, frame=data.frame, pixels=training.pixels
    )


def held_out(data: Dataset, training: Training) -> tuple[Dataset, Split | None]:
    """Return the data to train on, and what is held out of them for choosing."""
    held = held_count(data, training)
    if held == 0:
        return data, None
    train, validation = parted(data.train, held)
    return data._replace(train=train), validation


def held_count(data: Dataset, training: Training) -> int:
    """Return how many training images are held out, none of them or at least one."""
    if training.validation == 0.0:
        return 0
    n = len(data.train.labels)
    return min(max(1, round(n * training.validation)), n - 1)


def run_of(
    model: Model,
    data: Dataset,
    validation: Split | None,
    training: Training,
    backend: Backend,
) -> Run:
    """Return the run of these settings, its images on the backend's device.

    validation: what is held out of the data's training images, if anything is
    """
    classes = len(model.classes)
    held = data.test if validation is None else validation
    return Run(
        backend=backend,
        train=on_device(data.train, classes, backend),
        held=on_device(held, classes, backend),
        recipe=_recipe(model, data, training),
        held_scale=model.scale(held.images.dtype),
        pace=_pace(training),
        seed=training.seed,
        distortion=distortion_from(training.augment),
        size=(data.frame.height, data.frame.width),
        validated=validation is not None,
        early_stopping=training.early_stopping,
    )


def begun(run: Run, model: Model, training: Training) -> Position:
    """Return the position at which the run of this model begins."""
    return start(
        to_device(model.layers, run.backend),
        run.backend,
        optimizer=run.recipe.optimizer,
        batch_norm=training.batch_norm,
        averaged=training.averaging > 0.0,
    )


def _recipe(model: Model, data: Dataset, training: Training) -> Recipe:
    return Recipe(
        activations=model.activations,
        scale=model.scale(data.train.images.dtype),
        batch_size=batch_size(training, data),
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
    """Return what the maths calls it."""
    moving = training.momentum != 0.0 or training.momentum_schedule != "constant"
    if training.optimizer == "sgd" and moving:
        return "momentum"
    return training.optimizer


def _class_weights(data: Dataset, training: Training) -> tuple[float, ...]:
    """Return what each class counts; balanced, one that is rare as much as any.

    One without any image counts nothing: by its share of smoothed labels it would
    count more than what is there.
    """
    if not isinstance(training.class_weights, str):
        return training.class_weights
    counts = np.bincount(data.train.labels, minlength=len(data.classes))
    weights = len(data.train.labels) / (len(counts) * np.maximum(counts, 1))
    return tuple(map(float, np.where(counts > 0, weights, 0.0)))
