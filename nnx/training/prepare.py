"""A run's plan, made from settings, a network and data after checking that they fit."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from nnx.backend import Backend
from nnx.data.dataset import (
    Dataset,
    Split,
    check_images,
    check_labels,
    checked_frame,
)
from nnx.data.split import train_test_split
from nnx.errors import InputError
from nnx.maths.arrays import map_arrays
from nnx.maths.blocks import block_count
from nnx.maths.hyperparameters import (
    CONSTANT,
    Distortion,
    Hyperparameters,
    Schedule,
)
from nnx.maths.state import Images, initial_state
from nnx.network import Network
from nnx.settings import Settings
from nnx.settings.values import read_value
from nnx.tensors import finite
from nnx.training import scores, windows
from nnx.training.class_weights import class_weights
from nnx.training.plan import Part, Plan, Position

_ASK_FOR_CLASSES = (
    "; the target is taken for numbers: for classes, give its data set task="
    '"classification", as in nnx.dataset(x, y, task="classification")'
)


def fitted(network: Network, data: Dataset, settings: Settings) -> Network:
    """Return the network with the classes, task, columns and targets of the data.

    All images and labels are checked here, before any are moved to the device.

    Raises:
        InputError: the network, the data or the settings do not fit each other
    """
    features, outputs = data.train.images.shape[-1], data.outputs
    for part in data.parts:
        check_images(part.images, features, data.columns, f"{data.name}: ")
        check_labels(np.asarray(part.labels), len(part.images), data)
    if (network.sizes[0], network.sizes[-1]) != (features, outputs):
        is_guess = data.task == "regression" and data.options.task == "auto"
        raise InputError(
            f"{data.name} has {features} features and {outputs} "
            f"{'targets' if data.targets else 'classes'}; a network {network} does not "
            f"fit it: its sizes must begin with {features} and end with {outputs}"
            f"{_ASK_FOR_CLASSES if is_guess else ''}"
        )
    _refuse_other_places(network, data)
    finite(network.layers, "layers")
    frame = checked_frame(data.frame, features)
    _check_task(data, settings)
    if settings["augment"] and data.frame.height == 1:
        raise InputError(
            f"augment needs pictures; {data.name} has {features} features in a row"
        )
    n = len(data.train.labels)
    if settings["validation_fraction"] and n < 2:
        raise InputError(f"validation_fraction needs 2 or more images, not {n}")
    return network.replace(
        classes=data.classes,
        frame=frame,
        pixels="raw" if data.columns else settings["pixels"],
        task=data.task,
        columns=data.columns,
        targets=data.targets,
        likeness=None,
    )


def _refuse_other_places(network: Network, data: Dataset) -> None:
    """Refuse columns, classes or targets that the network has at other indices.

    Its weights would apply to others. Classes "0", "1", … may be a new network's.
    """
    numbered = tuple(str(i) for i in range(len(network.classes)))
    for kind in "columns", "classes", "targets":
        own = getattr(network, kind)
        places = {} if own == numbered else {n: i for i, n in enumerate(_names(own))}
        for i, name in enumerate(_names(getattr(data, kind))):
            if places.get(name, i) != i:
                order = "" if kind == "classes" else "give them in its order, or "
                raise InputError(
                    f"{data.name} has {name!r} at place {i + 1} of its {kind}, and the "
                    f"trained network at place {places[name] + 1}: {order}to start "
                    "from its weights all the same, give "
                    f"network.replace({kind}=data.{kind})"
                )


def _names(parts: Sequence[Any]) -> Iterator[str]:
    """Yield the names of classes, targets or columns, the latter once per feature."""
    for part in parts:
        for category in getattr(part, "categories", ()) or ("",):
            name = part if isinstance(part, str) else part.name
            yield f"{name}={category}" if category else name


def _check_task(data: Dataset, settings: Settings) -> None:
    """Refuse settings that do not apply to the task of the data, or to its classes."""
    if data.task != "classification":
        for name in "class_weights", "label_smoothing":
            if settings[name]:
                raise InputError(
                    f"{name} is for one class of many; {data.name} is a {data.task}"
                )
    else:
        class_weights(data, settings)
    check_huber_delta(settings["huber_delta"], data)


def check_huber_delta(value: Any, data: Dataset) -> float:
    """Return the value as a valid delta; 0 means none.

    Raises:
        InputError: an invalid value, or a delta for data that are not a regression
    """
    delta = float(read_value("huber_delta", value))
    if delta and data.task != "regression":
        raise InputError(
            f"huber_delta is for a regression; {data.name} is a {data.task}"
        )
    return delta


def without_effect(network: Network, data: Dataset, settings: Settings) -> list[str]:
    """Return a line for each setting that is set but has no effect on the run.

    network: fitted to the data
    """
    found, epochs = [], settings["epochs"]
    if data.columns and settings["pixels"] == "raw":
        found.append(f"pixels = raw has no effect: {data.name} is a table")
    names = [name for name in ("batch_norm", "dropout") if settings[name]]
    if names and len(network.layers) == 1:
        found.append(f"no effect from {' and '.join(names)}: there is no hidden layer")
    augment = settings["augment"]
    if isinstance(augment, Distortion) and not any(augment[:-1]):
        found.append("augment has no effect: sigma is only for elastic, which is 0")
    for name in "schedule", "momentum_schedule":
        course = settings[name]
        if isinstance(course, Schedule) and course.warmup >= epochs:
            found.append(
                f"{name} warms up to the run's end: warmup is {course.warmup:g} "
                f"epochs, and the run has {epochs}"
            )
    return found


def split_validation(data: Dataset, settings: Settings) -> tuple[Dataset, Split | None]:
    """Return the data to train on, and the validation set or None.

    Raises:
        InputError: the data have a validation set, and the settings ask for another
    """
    fraction, n = settings["validation_fraction"], len(data.train.labels)
    if data.validation is not None:
        if fraction:
            raise InputError(
                "a validation set was given: validation_fraction would hold out another"
            )
        return data, data.validation
    if fraction == 0.0:
        return data, None
    count = min(max(1, round(n * fraction)), n - 1)
    train, validation = train_test_split(data.train, count)
    return data._replace(train=train), validation


def plan_of(
    network: Network,
    data: Dataset,
    validation: Split | None,
    settings: Settings,
    backend: Backend,
) -> Plan:
    """Return the plan of a run; its images are on the device, unless read in windows.

    network: from `fitted`
    data, validation: from `split_validation`
    """
    monitored = data.test if validation is None else validation
    n, batch = len(data.train.labels), batch_size(data, settings)
    asked = settings["window"]
    window = windows.whole_batches(asked if isinstance(asked, int) else n, n, batch)
    return Plan(
        backend=backend,
        train=on_device(data.train, network, backend, window),
        monitored=part_of(monitored, network, backend, window),
        hyper=hyperparameters(network, data, settings),
        variation=scores.variation(data.train, data.task),
        has_validation=validation is not None,
        patience=settings["patience"],
        window=window,
        samples=scores.samples(data.columns),
    )


def first_position(network: Network, plan: Plan) -> Position:
    """Return the position at the start of a run, with its layers on the device."""
    layers = map_arrays(plan.backend.from_numpy, network.layers)
    return Position(initial_state(layers, plan.hyper, plan.backend.ops))


def part_of(split: Split, network: Network, backend: Backend, window: int) -> Part:
    """Return checked images to score the network on; see `on_device`."""
    images = on_device(split, network, backend, window)
    scale = network.pixel_scale(split.images.dtype)
    return Part(images, scale, scores.variation(split, network.task))


def on_device(split: Split, network: Network, backend: Backend, window: int) -> Images:
    """Return checked images and labels on the backend's device, with unscaled pixels.

    Labels that are not classes get the parameters' dtype. The pixels of more images
    than fit in a window stay where they are.
    """
    labels = split.labels
    if network.task != "classification":
        labels = np.asarray(labels, network.layers[0].weight.dtype)
    pixels = split.images
    if not 0 < window < len(labels):
        pixels = backend.from_numpy(np.ascontiguousarray(pixels))
    return Images(pixels, backend.from_numpy(labels))


def batch_size(data: Dataset, settings: Settings) -> int:
    """Return the number of images per step, at most all training images."""
    n, size = len(data.train.labels), settings["batch_size"]
    return min(size, n) if isinstance(size, int) else n


def steps_per_epoch(data: Dataset, settings: Settings) -> int:
    """Return the number of batches in an epoch; the last may be short."""
    return block_count(len(data.train.labels), batch_size(data, settings))


def hyperparameters(
    network: Network, data: Dataset, settings: Settings
) -> Hyperparameters:
    """Return the hyperparameters that the settings, network and data determine.

    network: fitted to the data
    """
    numbers: dict[str, Any] = {
        name: value
        for name, value in settings.items()
        if name in Hyperparameters._fields
    }
    moving = numbers["momentum"] or numbers["momentum_schedule"] != CONSTANT
    if numbers["optimizer"] == "sgd" and moving:
        numbers["optimizer"] = "momentum"
    return Hyperparameters(
        **numbers
        | {
            "activations": network.activation,
            "pixel_scale": network.pixel_scale(data.train.images.dtype),
            "pixel_range": network.pixel_range,
            "loss": loss_of(network, settings["huber_delta"]),
            "image_shape": (data.frame.height, data.frame.width),
            "batch_size": batch_size(data, settings),
            "class_weights": class_weights(data, settings),
        }
    )


def precision(settings: Settings) -> dict[str, Any]:
    """Return a backend's option for the precision; empty for "full"."""
    given = settings["precision"]
    return {} if given == "full" else {"precision": given}


def loss_of(network: Network, huber_delta: float) -> str:
    """Return the loss of a network's task, or "huber" if a delta is given."""
    return "huber" if huber_delta else network.loss
