"""All pictures of a run, by name."""

from collections.abc import Iterator

import numpy as np

from nnx.data.dataset import Dataset, in_units
from nnx.maths.schedules import at_steps
from nnx.network import Network
from nnx.report import curves, layers, predictions, style, values
from nnx.settings import Settings
from nnx.training.evaluate import counts
from nnx.training.log import Row
from nnx.training.plan import epoch_hyper
from nnx.training.prepare import hyperparameters, split_validation, steps_per_epoch

# Number of points in the plot of the learning rate.
MOMENTS = 200
# Images for the outputs of hidden units: enough to tell which units are dead.
EXAMINED_IMAGES = 1000


def pictures(
    network: Network,
    data: Dataset,
    settings: Settings,
    log: tuple[Row, ...],
) -> Iterator[tuple[str, style.Picture]]:
    """Yield the name and figure of each picture that applies to a run.

    Curves need an epoch; pictures of weights, units and images need data that are
    pictures, those of units also hidden layers, and those of images a classification.
    """
    test = data.test
    if log:
        yield "curves", curves.curves(log, rates(network, data, settings, log))
    if network.task == "regression":
        yield from _of_values(network, data)
    elif network.task == "multilabel":
        taken, true = network.predict(test.images) > 0, np.asarray(test.labels) > 0
        yield "labels", predictions.labels(counts(taken, true), data.classes)
    else:
        probabilities = network.predict_proba(test.images)
        predicted, labels = np.argmax(probabilities, axis=1), np.asarray(test.labels)
        yield "confusion", predictions.confusion(labels, predicted, data.classes)
    if network.frame.box == 0:
        return
    yield "weights", layers.weights(network)
    if len(network.layers) > 1:
        yield "activations", layers.activations(network, test.images[:EXAMINED_IMAGES])
    if network.task == "classification":
        yield "mistakes", predictions.mistakes(network, test, probabilities)
        yield "samples", predictions.samples(network, test, probabilities)


def _of_values(network: Network, data: Dataset) -> Iterator[tuple[str, style.Picture]]:
    """Yield the pictures of a regression's predictions for the test images."""
    true = in_units(data.test.labels, data.targets)
    predicted = np.reshape(network.predict(data.test.images), true.shape)
    names = [target.name for target in data.targets]
    yield "predictions", values.predictions(true, predicted, names)
    yield "residuals", values.residuals(true, predicted, names)


def rates(
    network: Network, data: Dataset, settings: Settings, log: tuple[Row, ...]
) -> list[tuple[float, float]]:
    """Return learning rates during the run, as pairs (epochs done, rate)."""
    train, _ = split_validation(data, settings)
    hyper = hyperparameters(network, train, settings)
    per_epoch = steps_per_epoch(train, settings)
    last = len(log) * per_epoch - 1
    steps = np.unique(np.linspace(0, last, MOMENTS).astype(int))
    moments = []
    for step in map(int, steps):
        now = epoch_hyper(hyper, log[: step // per_epoch])
        [at] = at_steps(now, step, 1, per_epoch)
        moments.append((step / per_epoch, at.learning_rate))
    return moments
