"""How well a trained network does on a data set."""

from typing import NamedTuple

from nnx.backend import Backend, find
from nnx.data.dataset import Dataset
from nnx.errors import InputError
from nnx.maths import evaluation
from nnx.network import Network, to_device
from nnx.training.loop import on_device


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
    network: Network, data: Dataset, *, backend: str | Backend = "numpy"
) -> Evaluation:
    """Return the loss and accuracy on the data's test images.

    Refused: data whose features, classes or pixel range are not the network's, and
    labels that are not among the classes.
    """
    model = network.model
    fits = (data.train.images.shape[1], data.classes, data.frame.maximum)
    wanted = (network.sizes[0], model.classes, model.frame.maximum)
    if fits != wanted:
        raise InputError(
            f"{data.name} does not fit the network: features, classes, brightest pixel "
            f"are {_words(fits)}; the network takes {_words(wanted)}"
        )
    chosen = find(backend) if isinstance(backend, str) else backend
    with chosen.scope():
        loss_sum, hits = evaluation.evaluate(
            to_device(network.layers, chosen),
            on_device(data.test, len(data.classes), chosen),
            model.activations,
            model.scale(data.test.images.dtype),
            chosen,
        )
        loss, right = (float(chosen.to_numpy(number)) for number in (loss_sum, hits))
    n = len(data.test.labels)
    return Evaluation(loss / n, right / n, n)


def _words(fits: tuple[int, tuple[str, ...], int]) -> str:
    features, classes, maximum = fits
    return f"{features}, {len(classes)} ({' '.join(classes[:10])}), {maximum}"
