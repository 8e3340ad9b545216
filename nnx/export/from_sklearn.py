"""Making a network from scikit-learn's multi-layer perceptrons."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nnx.data import given
from nnx.data.dataset import Array, Column, Dataset, Target, units
from nnx.errors import InputError
from nnx.export.foreign import made
from nnx.maths.state import Layer, Layers
from nnx.network import Network
from nnx.settings.table import TASKS

FITTED = "activation", "coefs_", "intercepts_", "n_outputs_", "out_activation_"


def from_sklearn(
    estimator: Any, *, data: Dataset | None = None, pixels: str = "unit"
) -> Network:
    """Return the network of scikit-learn's fitted MLPClassifier or MLPRegressor.

    It predicts the same as the estimator, also for several labels; the single output
    for two classes becomes two outputs. Without `data` it takes the same inputs as the
    estimator or the Pipeline, whose StandardScaler becomes part of the first layer.

    estimator: fitted, alone or at the end of a Pipeline with a StandardScaler
    data: a data set of pictures for the network; its classes must be the estimator's,
        in the same order, or its targets the numbers that the estimator was fitted to,
        in their own units
    pixels: the pixels that the estimator was fitted to: "unit", in [0, 1], or "raw", as
        in the data

    Raises:
        InputError: the estimator is of another kind or not fitted, has other steps
            before it, or does not fit the data
    """
    mlp, before = _parts(estimator)
    data = None if data is None else given.loaded(data)
    if before and data is not None:
        raise InputError("data of pictures and a StandardScaler do not go together")
    classes, layers = _classes(mlp), _layers(mlp, *before)
    network = made(Path(type(mlp).__name__), layers, mlp.activation, data, pixels)
    if data is not None:
        if data.task != _task(mlp) or data.classes != classes:
            raise InputError(
                f"{data.name} has the classes {' '.join(data.classes)[:60]}, the "
                f"estimator {' '.join(classes)[:60]}"
            )
        last = _standardized(network.layers[-1], network.targets)
        return network.replace(layers=[*network.layers[:-1], last])
    targets = tuple(Target(f"y{i}") for i in range(network.sizes[-1]))
    return network.replace(
        classes=classes,
        task=_task(mlp),
        columns=_columns([*before, mlp][0], network.sizes[0]),
        targets=() if classes else targets,
    )


def _parts(estimator: Any) -> tuple[Any, list[Any]]:
    """Return the perceptron, and the steps before it: none, or a StandardScaler."""
    steps = [step for _, step in getattr(estimator, "steps", [("", estimator)])]
    used = [
        step
        for step in steps
        if not (step is None or (isinstance(step, str) and step == "passthrough"))
    ]
    *before, mlp = used or [estimator]
    name = type(mlp).__name__
    if not all(hasattr(mlp, name) for name in FITTED):
        raise InputError(
            f"{name} is not a fitted MLPClassifier or MLPRegressor of scikit-learn"
        )
    if mlp.out_activation_ == "exp":
        raise InputError(
            f"{name} was fitted with loss='poisson', and gives logarithms of what it "
            "predicts: nnx has no such regression"
        )
    if len(_classes(mlp)) == 1:
        raise InputError(f"{name} was fitted to one class alone: nothing to predict")
    if [type(step).__name__ for step in before] not in ([], ["StandardScaler"]):
        known = " and ".join(type(step).__name__ for step in before)
        raise InputError(f"before an MLP, nnx takes only a StandardScaler, not {known}")
    return mlp, before


def _task(mlp: Any) -> str:
    if not hasattr(mlp, "classes_"):
        return TASKS[2]
    is_binary = len(mlp.classes_) == 2 and mlp.n_outputs_ == 1
    return TASKS[mlp.out_activation_ == "logistic" and not is_binary]


def _classes(mlp: Any) -> tuple[str, ...]:
    return tuple(str(label) for label in getattr(mlp, "classes_", ()))


def _layers(mlp: Any, scaler: Any = None) -> Layers:
    # float64, as float32 could round away the differences from the scaler's mean.
    kind = None if scaler is None else np.float64
    layers = [
        Layer(np.array(weight, kind), np.array(bias, kind))
        for weight, bias in zip(mlp.coefs_, mlp.intercepts_, strict=True)
    ]
    if _task(mlp) == TASKS[0] and mlp.n_outputs_ == 1:
        # The second output of softmax(0, z) is the logistic function of z.
        layers[-1] = Layer(*(_after_zeros(part) for part in layers[-1]))
    if scaler is not None:
        layers[0] = _of_unscaled(layers[0], scaler)
    if not all(np.isfinite(part).all() for layer in layers for part in layer):
        raise InputError(f"{type(mlp).__name__} has weights that are not finite")
    return layers


def _after_zeros(part: Array) -> Array:
    return np.concatenate([np.zeros_like(part), part], axis=-1)


def _standardized(layer: Layer, targets: Sequence[Target]) -> Layer:
    """Return a last layer whose outputs are standardized as the targets, if any."""
    if not targets:
        return layer
    mean, scale = units(targets)
    parts = layer.weight / scale, (layer.bias - mean) / scale
    return Layer(*(part.astype(layer.bias.dtype) for part in parts))


def _of_unscaled(layer: Layer, scaler: Any) -> Layer:
    """Return a first layer, in float64, that takes a StandardScaler's inputs."""
    weight, bias = layer
    if scaler.with_std:
        weight = weight / np.asarray(scaler.scale_, np.float64)[:, None]
    if scaler.with_mean:
        bias = bias - np.asarray(scaler.mean_, np.float64) @ weight
    return Layer(weight, bias)


def _columns(first: Any, features: int) -> tuple[Column, ...]:
    """Return the columns; first: what was fitted to them, which knows their names."""
    names = getattr(first, "feature_names_in_", None)
    names = [f"x{i}" for i in range(features)] if names is None else names
    return tuple(Column(str(name)) for name in names)
