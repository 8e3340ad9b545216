"""How well a trained network does on a data set."""

from typing import NamedTuple

import numpy as np

from nnx.automatic import DEFAULT
from nnx.backend import Backend, choose
from nnx.data.dataset import Dataset, check_labels
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
    """

    loss: float
    accuracy: float
    images: int


def evaluate(
    network: Network, data: Dataset, *, backend: str | Backend = DEFAULT
) -> Evaluation:
    """Return the loss and accuracy on the data's test images.

    Raises:
        InputError: data whose features, classes or pixel range are not the network's,
            and labels that are not among the classes
    """
    theirs = (data.train.images.shape[1], data.classes, data.frame.maximum)
    own = (network.sizes[0], network.classes, network.frame.maximum)
    if theirs != own:
        raise InputError(
            f"{data.name} does not fit the network: features, classes, brightest pixel "
            f"are {_words(theirs)}; the network takes {_words(own)}"
        )
    n = len(data.test.images)
    check_labels(np.asarray(data.test.labels), n, len(data.classes))
    chosen = choose(backend)
    with chosen.scope():
        loss_sum, correct = evaluation.evaluate(
            map_arrays(chosen.from_numpy, network.layers),
            on_device(data.test, chosen),
            network.activation,
            network.pixel_scale(data.test.images.dtype),
            chosen.ops,
        )
        loss, right = (float(chosen.to_numpy(each)) for each in (loss_sum, correct))
    return Evaluation(loss / n, right / n, n)


def _words(fits: tuple[int, tuple[str, ...], int]) -> str:
    features, classes, maximum = fits
    return f"{features}, {len(classes)} ({' '.join(classes[:10])}), {maximum}"
