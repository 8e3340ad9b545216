"""How well a trained network does on a data set."""

from typing import NamedTuple

import numpy as np

from nnx.automatic import DEFAULT
from nnx.backend import Backend, choose
from nnx.data.dataset import Array, Dataset, check_labels
from nnx.errors import InputError
from nnx.maths import evaluation
from nnx.maths.arrays import map_arrays
from nnx.network import Network
from nnx.training.prepare import on_device


class Evaluation(NamedTuple):
    """What a network makes of a set's test images.

    loss: the mean, in nats
    accuracy: in [0, 1]
    images: how many there were
    confusion: (classes, classes), int64; how many images of the row's class were taken
        for the column's
    """

    loss: float
    accuracy: float
    images: int
    confusion: Array

    @property
    def precision(self) -> Array:
        """Of the images taken for a class, the share that is right, (classes,).

        NaN for a class that none was taken for.
        """
        return _share(self.confusion, self.confusion.sum(axis=0))

    @property
    def recall(self) -> Array:
        """Of a class's images, the share that is right, (classes,).

        NaN for a class without any.
        """
        return _share(self.confusion, self.confusion.sum(axis=1))


def _share(confusion: Array, of: Array) -> Array:
    whole = np.where(of > 0, of, np.nan)
    return np.asarray(np.diag(confusion) / whole)


def evaluate(
    network: Network, data: Dataset, *, backend: str | Backend = DEFAULT
) -> Evaluation:
    """Return the loss, the accuracy and the confusion on the data's test images.

    Raises:
        InputError: data whose features, classes or pixel range are not the network's,
            and labels that are not among the classes
    """
    check_fits(network, data)
    n, classes = len(data.test.images), len(data.classes)
    labels = np.asarray(data.test.labels)
    chosen = choose(backend)
    with chosen.scope():
        layers = map_arrays(chosen.from_numpy, network.layers)
        images = on_device(data.test, chosen)
        scale = network.pixel_scale(data.test.images.dtype)
        how = network.activation, scale, chosen.ops
        loss_sum, correct = evaluation.evaluate(layers, images, *how)
        predicted = evaluation.predictions(layers, images.pixels, *how)
        loss, right = float(chosen.to_numpy(loss_sum)), float(chosen.to_numpy(correct))
        counts = confusion(labels, chosen.to_numpy(predicted), classes)
    return Evaluation(loss / n, right / n, n, counts)


def confusion(labels: Array, predicted: Array, classes: int) -> Array:
    """Return how many images of each row's class were taken for the column's.

    labels, predicted: (n,), integers in [0, classes)
    returns: (classes, classes), int64
    """
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (labels, predicted), 1)
    return counts


def check_fits(network: Network, data: Dataset) -> None:
    """Refuse data whose test images the network cannot be asked about.

    Raises:
        InputError: as for `evaluate`
    """
    theirs = (data.train.images.shape[1], data.classes, data.frame.maximum)
    own = (network.sizes[0], network.classes, network.frame.maximum)
    if theirs != own:
        raise InputError(
            f"{data.name} does not fit the network: features, classes, brightest pixel "
            f"are {_words(theirs)}; the network takes {_words(own)}"
        )
    labels = np.asarray(data.test.labels)
    check_labels(labels, len(data.test.images), len(data.classes))


def _words(fits: tuple[int, tuple[str, ...], int]) -> str:
    features, classes, maximum = fits
    return f"{features}, {len(classes)} ({' '.join(classes[:10])}), {maximum}"
