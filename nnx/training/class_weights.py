"""What each class counts: the setting `class_weights`, for the classes there are."""

from collections.abc import Mapping

import numpy as np

from nnx.data.dataset import Dataset
from nnx.errors import InputError
from nnx.settings import Settings


def class_weights(data: Dataset, settings: Settings) -> tuple[float, ...]:
    """Return what each class counts; nothing where all count the same.

    Balanced, a rare one counts as much as any. A class without any image counts
    nothing: by its share of smoothed labels it would count more than what is there.

    Raises:
        InputError: another count of numbers than of classes, names of no class
    """
    weights, classes = settings["class_weights"], len(data.classes)
    if isinstance(weights, str):
        counts = np.bincount(data.train.labels, minlength=classes)
        balanced = len(data.train.labels) / (classes * np.maximum(counts, 1))
        return tuple(map(float, np.where(counts > 0, balanced, 0.0)))
    if isinstance(weights, Mapping):
        return _of_all(weights, data)
    if weights and len(weights) != classes:
        raise InputError(
            f"class_weights has {len(weights)} numbers; {data.name} has {classes} "
            "classes"
        )
    return tuple(weights)


def _of_all(named: Mapping[str, float], data: Dataset) -> tuple[float, ...]:
    """Return the weight of each class; 1 of those that are not named.

    named: by a class's name or else by its number, counted from 0
    """
    weights = dict[int, float]()
    for key, weight in named.items():
        number = _number(key, data)
        if number in weights:
            raise InputError(
                f"class_weights has two numbers for class {data.classes[number]!r}"
            )
        weights[number] = weight
    return tuple(weights.get(i, 1.0) for i in range(len(data.classes)))


def _number(key: str, data: Dataset) -> int:
    if key in data.classes:
        return data.classes.index(key)
    if key.isascii() and key.isdecimal() and int(key) < len(data.classes):
        return int(key)
    known = ", ".join(map(repr, data.classes[:10]))
    raise InputError(
        f"class_weights: {data.name} has no class {key!r}; it has {known}"
        + (" …" if len(data.classes) > 10 else "")
    )
