"""A network on the host: made, asked, saved and loaded."""

import math
from collections.abc import Sequence
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import Any, Self

import numpy as np

from nnx import model_file
from nnx.backend import Backend, find
from nnx.data.assemble import frame_of
from nnx.data.dataset import Array
from nnx.data.pixels import check_finite
from nnx.errors import InputError
from nnx.maths import evaluation, initializers, losses
from nnx.maths.blocks import blocks
from nnx.maths.network import Layer, Layers, Trained
from nnx.model_file import Model
from nnx.rules import check

HE_FAMILY = "relu", "leaky_relu", "elu"


class Network:
    """A fully-connected network: dense layers, the last one giving logits.

    sizes: features in, hidden widths, classes; [784, 128, 10]
    activation: of the hidden layers, a name in nnx.activations(); or one for each of
        them, as in "relu,tanh"
    init: "he", "glorot", "lecun", "normal:σ", "zeros"; "auto" is "he" for relu and
        its kin and "glorot" for the others; or one of them for each layer, as in
        "he,zeros"
    seed: of the initial weights, which are the same on every backend
    dtype: "float32" or "float64"
    Refused: sizes, names and ranges that do not fit, with InputError.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: str = "relu",
        *,
        init: str = "auto",
        seed: int = 0,
        dtype: str = "float32",
    ) -> None:
        _check_sizes(sizes)
        for name, value in [
            ("activation", activation),
            ("init", init),
            ("seed", seed),
            ("dtype", dtype),
        ]:
            check(name, value)
        hidden = _one_each(activation, "activation", len(sizes) - 2)
        inits = _inits(init, hidden, activation)
        layers = [
            _initial(name, shape, seed, i, dtype)
            for i, (shape, name) in enumerate(zip(pairwise(sizes), inits, strict=True))
        ]
        self.model = Model(
            layers=layers,
            activations=(*hidden, "identity"),
            classes=tuple(str(i) for i in range(sizes[-1])),
            frame=frame_of(sizes[0], None, 255),
            pixels="unit",
        )

    @classmethod
    def of(cls, model: Model) -> Self:
        """Return the network of a model that is already there."""
        network = cls.__new__(cls)
        network.model = model
        return network

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Return the network of a model file, a checkpoint, or a run's folder.

        Refused: files that are damaged, of another kind, or from a newer nnx.
        """
        return cls.of(model_file.load(Path(path)).model)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the network as safetensors, whole or not at all."""
        model_file.save(Path(path), self.model)

    @property
    def layers(self) -> Layers:
        """The parameters: NumPy arrays, weight (in, out) and bias (out,) a layer."""
        return self.model.layers

    @property
    def sizes(self) -> tuple[int, ...]:
        """Features in, hidden widths, classes."""
        return self.model.sizes

    @property
    def parameters(self) -> int:
        """How many numbers are trained."""
        return sum(weight.size + bias.size for weight, bias in self.layers)

    def predict(self, images: Any, *, backend: str | Backend = "numpy") -> Array:
        """Return the most probable class of each image, (n,) int64.

        images: (n, features) or (n, height, width); integers are pixels as in
            the training data, floats are in [0, 1]
        """
        labels = np.argmax(self.predict_proba(images, backend=backend), axis=1)
        return labels.astype(np.int64)

    def predict_proba(self, images: Any, *, backend: str | Backend = "numpy") -> Array:
        """Return the probability of each class, (n, classes); rows sum to one.

        images: as for `predict`
        """
        chosen = find(backend) if isinstance(backend, str) else backend
        rows = self._rows(images)
        scale = self.model.scale(rows.dtype)
        parts = []
        with chosen.scope():
            layers = to_device(self.layers, chosen)
            for block in blocks(len(rows)):
                pixels = chosen.from_numpy(rows[block])
                logits = evaluation.logits(
                    layers, pixels, self.model.activations, scale, chosen
                )
                parts.append(chosen.to_numpy(losses.softmax(logits, xp=chosen.xp)))
        return np.concatenate(parts)

    def _rows(self, images: Any) -> Array:
        """Return images as (n, features), refused where they are not."""
        array, features = np.asarray(images), self.sizes[0]
        if (
            array.ndim < 2
            or array.shape[0] == 0
            or math.prod(array.shape[1:]) != features
        ):
            raise InputError(
                f"expected images of shape (n, {features}), got {array.shape}"
            )
        rows = array.reshape(array.shape[0], features)
        check_finite(rows)
        return rows

    def __repr__(self) -> str:
        return f"Network({self.model})"


def to_device(layers: Trained, backend: Backend) -> list[Any]:
    """Return the layers' parameters on the backend's device."""
    return [type(layer)(*map(backend.from_numpy, layer)) for layer in layers]


def to_host(layers: Trained, backend: Backend) -> list[Any]:
    """Return the layers' parameters as NumPy arrays."""
    return [type(layer)(*map(backend.to_numpy, layer)) for layer in layers]


def _check_sizes(sizes: Any) -> None:
    """Refuse what is no features, widths of hidden layers and classes."""
    if (
        not isinstance(sizes, list | tuple)
        or len(sizes) < 2
        or not all(type(size) is int and size > 0 for size in sizes)
        or sizes[-1] < 2
    ):
        raise InputError(
            "sizes must be features, widths of hidden layers and 2 or more classes, as "
            f"in [784, 128, 10], not {sizes!r}"
        )
    check("hidden", sizes[1:-1])


def _one_each(names: str, setting: str, layers: int) -> list[str]:
    """Return a name for each layer; one alone is for all."""
    each = names.split(",")
    if len(each) not in (1, layers):
        raise InputError(
            f"{setting} names {len(each)} layers, {names}; there are {layers}"
        )
    return each if len(each) == layers else each * layers


def _inits(init: str, hidden: list[str], activation: str) -> list[str]:
    """Return the name of each layer's initializer.

    "auto" suits the layer's activation; the last one's, which has none, the one before.
    """
    last = (hidden or [activation])[-1:]
    names = _one_each(init, "init", len(hidden) + 1)
    suited = ["he" if name in HE_FAMILY else "glorot" for name in (*hidden, *last)]
    return [
        suits if name == "auto" else name
        for name, suits in zip(names, suited, strict=True)
    ]


def _initial(
    init: str, shape: tuple[int, int], seed: int, layer: int, dtype: str
) -> Layer:
    weight = initializers.weight(init, shape, seed=seed, layer=layer, xp=np)
    return Layer(weight.astype(dtype), np.zeros(shape[1], dtype))
