"""The weight of each class, from the setting `class_weights` and the data."""

from collections.abc import Mapping

import numpy as np

from nnx.data.dataset import Dataset
from nnx.errors import InputError
from nnx.settings import Settings


def class_weights(data: Dataset, settings: Settings) -> tuple[float, ...]:
    """Return the weight of each class; empty if none are set.

    Balanced weights make all classes count alike, rare ones too. A class without
    training images gets 0: otherwise its share of smoothed labels would outweigh the
    classes that are present.

    Raises:
        InputError: the number of weights is not the number of classes, or a name is not
            that of a class
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
    """Return the weight of each class; 1 for classes that are not named.

    named: weights by class name, or by class number, counted from 0
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
