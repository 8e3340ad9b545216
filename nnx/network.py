"""A network on the host, which can be created, applied, saved and loaded."""

from collections.abc import Sequence
from os import PathLike
from typing import Any, Self

import numpy as np

from nnx import files, model_file
from nnx.automatic import DEFAULT
from nnx.backend import Backend, choose
from nnx.data.columns import features
from nnx.data.dataset import (
    Array,
    Column,
    Frame,
    Target,
    checked_frame,
    frame_of,
    in_units,
)
from nnx.data.frame_table import is_frame, table_of, table_of_array
from nnx.errors import InputError, in_few_words
from nnx.first_layers import first_layers
from nnx.inputs import rows_of
from nnx.likeness import Likeness
from nnx.maths import evaluation
from nnx.maths.arrays import map_arrays
from nnx.maths.blocks import BLOCK, blocks
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.network import forward
from nnx.maths.ops import Ops
from nnx.maths.state import Layers
from nnx.settings.table import TASKS
from nnx.tensors import finite

# The loss that a network of each task is trained with, unless another is chosen.
TASK_LOSSES = dict(
    zip(TASKS, ("cross_entropy", "binary_cross_entropy", "squared_error"), strict=True)
)


class Network:
    """A fully-connected network: dense layers, the last of which returns logits.

    layers: the parameters, NumPy arrays: per layer weight (in, out) and bias (out,)
    activation: the name of each layer's activation
    classes: the name of each class or label, in the order of the logits; empty for a
        regression
    frame: how a row of features forms a picture; its box is 0 if there is no picture
    pixels: "unit" scales pixels to [0, 1]; "raw" leaves them as they are
    task: "classification", "multilabel" or "regression"
    columns: how a table's columns become features; empty if the features are pixels
    targets: the targets of a regression
    likeness: statistics to recognize pictures unlike the training pictures, or None
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

        sizes: features, hidden widths, and classes or targets, such as [784, 128, 10];
            training sets the task and the classes from the data
        activation: one for all hidden layers, or one for each, as in "relu,tanh"
        init: "he", "glorot", "lecun", "normal:σ", "zeros", or one for each layer, as
            "he,zeros"; "auto": "he" for relu, leaky_relu and elu, otherwise "glorot"
        dtype: "float32" or "float64"

        Raises:
            InputError: an argument is invalid, or does not fit the sizes
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
        """Return a network with these attributes, which must be all of them."""
        network = cls.__new__(cls)
        vars(network).update(attributes)
        return network

    def replace(self, **attributes: Any) -> Self:
        """Return a copy of the network with some attributes replaced.

        Weights are copied, given ones too. Given both layers and classes, but no
        likeness, the copy has none.

        Raises:
            InputError: networks have no such attribute, or the attributes do not fit
                each other
        """
        for name in attributes:
            if name not in Network.__annotations__:
                known = ", ".join(Network.__annotations__)
                raise InputError(f"a network has no {name}; it has {known}")
        if {"layers", "classes"} <= {*attributes}:  # the likeness is of other pictures
            attributes = {"likeness": None} | attributes
        attributes = model_file.fitting(vars(self) | attributes)
        attributes["layers"] = map_arrays(np.array, attributes["layers"])
        return self.of(**attributes)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Return the network in a model file, a checkpoint, or a run's folder.

        Raises:
            InputError: the file is missing, damaged, of another kind, or from a newer
                nnx
        """
        path = files.given(path, "a model")
        with files.readable(path):
            return cls.of(**model_file.load(path).network)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the network as safetensors, completely or not at all.

        Raises:
            InputError: the weights are not finite, or attributes do not fit each other
            WriteError: the file cannot be written
        """
        model_file.save(files.given(path, "a model"), model_file.fitting(vars(self)))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Features, hidden widths, and classes or targets."""
        return model_file.sizes(self.layers)

    @property
    def parameters(self) -> int:
        """Number of trainable parameters."""
        return sum(weight.size + bias.size for weight, bias in self.layers)

    def pixel_scale(self, dtype: Any) -> float:
        """Return the factor that scales pixels of this dtype for the network.

        Integers are in [0, frame.maximum], floats in [0, 1].

        Raises:
            InputError: not a dtype, or the frame's maximum is not above 0
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
        """The value of the brightest pixel after scaling."""
        return 1.0 if self.pixels == "unit" else float(self.frame.maximum)

    @property
    def loss(self) -> str:
        """The loss of the task, a name in `maths.losses.LOSSES`."""
        return TASK_LOSSES[self.task]

    def predict(self, images: Any, *, backend: str | Backend = DEFAULT) -> Array:
        """Return the index in `classes` of each image's likeliest class, (n,) int64.

        A multi-label network returns 1 for each label with a probability above 0.5 and
        0 for the others, (n, labels) int64. A regression returns values in the targets'
        units, (n,), or (n, targets) if there are several.

        images: (n, features) or (n, height, width); integers are pixels as in the
            training data, floats are in [0, 1]. For a table: a data frame, whose
            columns are found by name and scaled, or an array from `features`, whose
            float32 tells it from the values themselves

        Raises:
            InputError: images have another shape, are not finite, or are outside [0, 1]
                (floats) or the range of training (integers); a data frame that
                `features` refuses; an array that is plainly not scaled, or not float32
                where columns are scaled; weights or outputs are not finite; there is
                one output, and the network was not trained
        """
        outputs = self._outputs(images, backend)
        if self.task == "classification":
            return np.argmax(outputs, axis=1).astype(np.int64)
        if self.task == "multilabel":
            return (outputs > 0.5).astype(np.int64)
        values = in_units(outputs, self.targets)
        return values[:, 0] if len(self.targets) == 1 else values

    def features(self, frame: Any) -> Array:
        """Return a table's rows as features of this network, (n, features) float32.

        frame: a data frame of pandas, Polars or another library, which may have
            additional columns; or an array, (n, columns), in the order of `columns`

        Raises:
            InputError: the network was not trained on a table; a column is missing;
                text in a column of numbers; an empty field in a column that had none in
                training; an unknown category
        """
        if not self.columns:
            raise InputError(
                f"a network {self} takes {self.sizes[0]} pixels, not named columns"
            )
        names = [column.name for column in self.columns]
        if is_frame(frame):
            text = [column.name for column in self.columns if column.categories]
            table = table_of(frame, "the data frame", text, names)
        else:
            table = table_of_array(frame, "the array", names)
        return features(self.columns, table)

    def predict_proba(self, images: Any, *, backend: str | Backend = DEFAULT) -> Array:
        """Return the probability of each class or label, (n, classes).

        The probabilities of classes sum to one; those of labels are independent.

        images: as for `predict`

        Raises:
            InputError: as for `predict`, or the network is a regression
        """
        if self.task == "regression":
            raise InputError("a regression has no probabilities: use predict")
        return self._outputs(images, backend)

    def _outputs(self, images: Any, backend: str | Backend) -> Array:
        """Return the probabilities, or the scaled values of a regression."""
        if self.task == "classification" and self.sizes[-1] == 1:
            raise InputError(
                f"a network {self} has one output and no target for it, as one before "
                "training: predict with the result.network of nnx.train; for weights "
                "from elsewhere, give their data set as data"
            )
        chosen, rows = choose(backend), rows_of(self, images)
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
        """Return the outputs of each hidden layer, (n, units) each.

        images: as for `predict`, which also gives the errors
        """
        rows = np.asarray(rows_of(self, images))
        layers = finite(self.layers, "layers")
        x = rows.astype(self.layers[0].weight.dtype) * self.pixel_scale(rows.dtype)
        caches = forward(layers, x, self.activation, Ops(np)).caches
        return [cache.x for cache in caches[1:]]

    def __str__(self) -> str:
        return "-".join(str(size) for size in self.sizes)

    def __repr__(self) -> str:
        return f"Network({self})"


def checked(network: Any) -> Network:
    """Return the argument; raise InputError if it is not a network."""
    if isinstance(network, Network):
        return network
    has_one = isinstance(getattr(network, "network", None), Network)
    hint = "give result.network" if has_one else "nnx.Network.load gives a trained one"
    raise InputError(f"expected an nnx.Network, not a {type(network).__name__}; {hint}")
