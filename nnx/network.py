"""A network on the host: made, asked, saved and loaded."""

import math
from collections.abc import Sequence
from os import PathLike
from typing import Any, Self

import numpy as np

from nnx import files, model_file
from nnx.automatic import DEFAULT
from nnx.backend import Backend, choose
from nnx.data.columns import features
from nnx.data.dataset import (
    TASKS,
    Array,
    Column,
    Frame,
    Target,
    as_array,
    check_images,
    check_range,
    checked_frame,
    frame_of,
    in_units,
)
from nnx.data.frame_table import is_frame, table_of, table_of_array
from nnx.errors import InputError, in_few_words
from nnx.first_layers import first_layers
from nnx.likeness import Likeness, check_integers, refuse_unscaled
from nnx.maths import evaluation
from nnx.maths.arrays import map_arrays
from nnx.maths.blocks import BLOCK, blocks
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.network import forward
from nnx.maths.ops import Ops
from nnx.maths.state import Layers
from nnx.tensors import finite

# The loss that a network of each task is trained by, if no other is asked for.
TASK_LOSSES = dict(
    zip(TASKS, ("cross_entropy", "binary_cross_entropy", "squared_error"), strict=True)
)


class Network:
    """A fully-connected network: dense layers, the last one giving logits.

    layers: the parameters: NumPy arrays, weight (in, out) and bias (out,) a layer
    activation: the name of each layer's
    classes: the name of each class or label, in the order of the logits; none of a
        regression
    frame: how a row of features is a picture; box 0 where it is none
    pixels: "unit" scales them to [0, 1]; "raw" leaves them as they are
    task: what it is trained for: "classification", "multilabel" or "regression"
    columns: how a table's columns become its features; none where these are pixels
    targets: what the outputs of a regression are
    likeness: what tells its training pictures from others, once it is trained on some
    """

    layers: Layers
    activation: tuple[str, ...]
    classes: tuple[str, ...]
    frame: Frame
    pixels: str
    task: str
    columns: tuple[Column, ...]
    targets: tuple[Target, ...]
    likeness: Likeness | None = None

    def __init__(
        self,
        sizes: Sequence[int],
        activation: str | Sequence[str] = "relu",
        *,
        init: str | Sequence[str] = "auto",
        seed: int = 0,
        dtype: str = "float32",
    ) -> None:
        """Draw the initial weights, which are the same on every backend.

        sizes: features in, hidden widths, classes or targets; [784, 128, 10]; what it
            is for, it takes from the data it is trained on
        activation: of the hidden layers, or one for each of them, as in "relu,tanh"
        init: "he", "glorot", "lecun", "normal:σ", "zeros"; "auto" is "he" for relu and
            its kin and "glorot" for the others; or one for each layer: "he,zeros"
        dtype: "float32" or "float64"

        Raises:
            InputError: sizes, names and ranges that do not fit
            OutOfMemoryError: more weights than the machine has memory for
        """
        self.layers, self.activation = first_layers(
            sizes, activation, init, seed, dtype
        )
        features, *_, outputs = self.sizes
        self.classes = tuple(str(i) for i in range(outputs))
        self.frame = frame_of(features, None, 255)
        self.pixels = "unit"
        self.task, self.columns, self.targets = TASKS[0], (), ()

    @classmethod
    def of(cls, **attributes: Any) -> Self:
        """Return the network of these attributes, all of them."""
        network = cls.__new__(cls)
        vars(network).update(attributes)
        return network

    def replace(self, **attributes: Any) -> Self:
        """Return the network with other attributes in place of some.

        Raises:
            InputError: an attribute that there is not
        """
        for name in attributes:
            if name not in Network.__annotations__:
                known = ", ".join(Network.__annotations__)
                raise InputError(f"a network has no {name}; it has {known}")
        return self.of(**(vars(self) | attributes))

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Return the network of a model file, a checkpoint, or a run's folder.

        Raises:
            InputError: files that are damaged, of another kind, or from a newer nnx
        """
        path = files.given(path, "a model")
        with files.readable(path):
            return cls.of(**model_file.load(path).network)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the network as safetensors, whole or not at all; refused: NaN in it."""
        model_file.save(files.given(path, "a model"), vars(self))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Features in, hidden widths, classes or targets."""
        return model_file.sizes(self.layers)

    @property
    def parameters(self) -> int:
        """How many numbers are trained."""
        return sum(weight.size + bias.size for weight, bias in self.layers)

    def pixel_scale(self, dtype: Any) -> float:
        """Return what pixels of this dtype are multiplied by.

        Integers are in [0, frame.maximum], floats in [0, 1].

        Raises:
            InputError: no dtype, or a frame whose brightest pixel is not above 0
        """
        try:
            kind = np.dtype(dtype).kind
        except InputError:
            raise
        except (TypeError, ValueError):
            raise InputError(f"expected a dtype, not {in_few_words(dtype)}") from None
        if self.frame.maximum < 1:
            checked_frame(self.frame, self.sizes[0])
        brightest = 1.0 if kind == "f" else float(self.frame.maximum)
        return self.pixel_range / brightest

    @property
    def pixel_range(self) -> float:
        """What the network takes the brightest pixel as."""
        return 1.0 if self.pixels == "unit" else float(self.frame.maximum)

    @property
    def loss(self) -> str:
        """The loss of its task, a name in `maths.losses.LOSSES`."""
        return TASK_LOSSES[self.task]

    def predict(self, images: Any, *, backend: str | Backend = DEFAULT) -> Array:
        """Return the most probable class of each image, (n,) int64.

        Of a network of several labels whether each is more probable than not, (n,
        labels) int64; of a regression the values, (n,), or (n, targets) of several, in
        the targets' own units.

        images: (n, features) or (n, height, width); integers are pixels as in
            the training data, floats are in [0, 1]; of a table a data frame, whose
            columns are told apart by name and scaled, or what `features` makes of one
            or of an array of its values: an array is taken to be scaled already

        Raises:
            InputError: images of another shape, or not finite, floats beyond [0, 1],
                integers beyond those of training; of a data frame what `features`
                refuses, and an array that is plainly a table's values, not scaled;
                weights or outputs not finite
        """
        outputs = self._outputs(images, backend)
        if self.task == "classification":
            return np.argmax(outputs, axis=1).astype(np.int64)
        if self.task == "multilabel":
            return (outputs > 0.5).astype(np.int64)
        values = in_units(outputs, self.targets)
        return values[:, 0] if len(self.targets) == 1 else values

    def features(self, frame: Any) -> Array:
        """Return a table's rows as this network takes them, (n, features) float32.

        frame: a data frame of pandas, Polars or another library, which may have other
            columns too; or an array, (n, columns), in the order of `columns`

        Raises:
            InputError: a network of no table; a missing column, text in one of numbers,
                an empty field where none may be, a category that training had not
        """
        if not self.columns:
            raise InputError(
                f"a network {self} takes {self.sizes[0]} pixels, and no named columns"
            )
        if is_frame(frame):
            text = [column.name for column in self.columns if column.categories]
            table = table_of(frame, "the data frame", text)
        else:
            names = [column.name for column in self.columns]
            table = table_of_array(frame, "the array", names)
        return features(self.columns, table)

    def predict_proba(self, images: Any, *, backend: str | Backend = DEFAULT) -> Array:
        """Return the probability of each class or label, (n, classes).

        Rows of classes sum to one; each label has a probability of its own.

        images: as for `predict`, which says what is refused

        Raises:
            InputError: a regression, which has no probabilities
        """
        if self.task == "regression":
            raise InputError("a regression has no probabilities: use predict")
        return self._outputs(images, backend)

    def _outputs(self, images: Any, backend: str | Backend) -> Array:
        """Return the probabilities, or values as the last layer gives them."""
        chosen, rows = choose(backend), self._rows(images)
        scale = self.pixel_scale(rows.dtype)
        hyper = Hyperparameters(self.activation, scale, BLOCK, loss=self.loss)
        parts = []
        layers = finite(self.layers, "layers")
        with chosen.scope():
            layers = map_arrays(chosen.from_numpy, layers)
            for block in blocks(len(rows)):
                pixels = chosen.from_numpy(rows[block])
                outputs = evaluation.outputs(layers, pixels, hyper, chosen.ops)
                parts.append(chosen.to_numpy(outputs))
        return finite(np.concatenate(parts), "output")

    def activations(self, images: Any) -> list[Array]:
        """Return what each hidden layer gives for images, (n, units) each.

        images: as for `predict`, which says what is refused
        """
        rows = np.asarray(self._rows(images))
        layers = finite(self.layers, "layers")
        x = rows.astype(self.layers[0].weight.dtype) * self.pixel_scale(rows.dtype)
        caches = forward(layers, x, self.activation, Ops(np)).caches
        return [cache.x for cache in caches[1:]]

    def _rows(self, images: Any) -> Array:
        """Return images as (n, features), refused where they are not."""
        if self.columns and is_frame(images):
            images = self.features(images)
        array, width = as_array(images), self.sizes[0]
        if array.dtype.kind == "O":
            array = as_array(array.tolist())  # whose numbers may be of one kind
        if array.ndim > 2 and math.prod(array.shape[1:]) == width:
            array = array.reshape(-1, width)
        refuse_unscaled(array, self.columns)
        check_images(array, width)
        check_range(array, self.columns)
        if not self.columns and self.frame.maximum > 0:
            check_integers(array, self.frame.maximum)
        return array

    def __str__(self) -> str:
        return "-".join(str(size) for size in self.sizes)

    def __repr__(self) -> str:
        return f"Network({self})"


def checked(network: Any) -> Network:
    """Return a network that was given from Python; refused where it is none."""
    if not isinstance(network, Network):
        raise InputError(
            f"expected a nnx.Network, not a {type(network).__name__}; "
            "nnx.Network.load gives a trained one"
        )
    return network
