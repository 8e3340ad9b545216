"""Evaluation of a trained network on a data set."""

import math
from collections.abc import Sequence
from os import PathLike
from typing import Any, NamedTuple

import numpy as np

from nnx import files
from nnx.automatic import DEFAULT
from nnx.backend import Backend, choose
from nnx.data import given, table_options
from nnx.data.arrays import as_array
from nnx.data.dataset import (
    IN_MEMORY,
    Array,
    Dataset,
    check_images,
    check_labels,
)
from nnx.data.frame_table import is_frame
from nnx.data.split import made_like
from nnx.errors import InputError
from nnx.inputs import refuse_scaled
from nnx.maths import evaluation
from nnx.maths.arrays import map_arrays
from nnx.maths.blocks import BLOCK
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.losses import LOSSES
from nnx.network import Network, checked
from nnx.tensors import finite
from nnx.training import scores, windows
from nnx.training.data import load_data
from nnx.training.prepare import check_huber_delta, loss_of, on_device


class Evaluation(NamedTuple):
    """A network's results on the test images of a data set.

    loss: mean loss; for classes and labels in nats
    score: accuracy in [0, 1], or R², as `metric` says
    images: number of test images
    confusion: (classes, classes), int64; how many images of the row's class were
        predicted as the column's; None for multi-label data and regressions
    counts: (3, classes), int64; per class or label the true positives, all predicted
        positives, and all actual positives; None for a regression
    r2, rmse: (targets,); each target's coefficient of determination and root mean
        squared error, in the target's unit; None unless a regression
    """

    loss: float
    score: float
    metric: str
    images: int
    confusion: Array | None = None
    counts: Array | None = None
    r2: Array | None = None
    rmse: Array | None = None

    def __repr__(self) -> str:
        """Return the score and the loss in one line, without results by class."""
        words = f"{scores.in_words(self.score, self.metric)}, loss {self.loss:.4f}"
        if self.rmse is not None:
            words += f", RMSE {', '.join(map(scores.quantity, self.rmse))}"
        return f"Evaluation on {self.images:,} samples: {words}"

    @property
    def accuracy(self) -> float:
        """The accuracy; a regression has none and raises AttributeError."""
        if self.metric != "accuracy":
            raise AttributeError("a regression has no accuracy; its score is R²")
        return self.score

    @property
    def precision(self) -> Array:
        """Share of correct images among those predicted as each class, (classes,).

        NaN for a class that is never predicted.
        """
        return _share(self.counts, 1)

    @property
    def recall(self) -> Array:
        """Share of correctly predicted images among those of each class, (classes,).

        NaN for a class without images.
        """
        return _share(self.counts, 2)


def _share(counts: Array | None, of: int) -> Array:
    if counts is None:
        raise AttributeError("a regression has no classes")
    whole = np.where(counts[of] > 0, counts[of], np.nan)
    return np.asarray(counts[0] / whole)


def evaluate(
    network: Network,
    data: Dataset | tuple[Any, Any] | str | PathLike[str],
    *,
    target: str | Sequence[str] = (),
    backend: str | Backend = DEFAULT,
    huber_delta: float = 0.0,
) -> Evaluation:
    """Return the network's loss, score and errors on the data's test images.

    data: a data set, or its name or path as for `nnx.load`; or a pair (x, y) as
        `nnx.dataset` takes it, with the same columns as the training data (an array in
        their order, not scaled), or pixels as for `predict`; or the path of another
        table with the same columns. The network is tested on all rows of a pair or
        table, scaled as in training, and on all pictures of a folder without test/
    target: the target column or columns of a table given by its path
    huber_delta: the delta that a regression was trained with, to get the same loss

    Raises:
        InputError: the features, classes or pixel range of the data are not the
            network's; labels are not among the classes; the network's weights, or its
            loss on the data, are not finite; huber_delta is invalid, or the data are
            not a regression; target is given without the path of a table
    """
    data = _loaded(checked(network), data, target)
    check_fits(network, data)
    n, labels = len(data.test.images), np.asarray(data.test.labels)
    huber_delta = check_huber_delta(huber_delta, data)
    loss = loss_of(network, huber_delta)
    loss_sum, score_sum, predicted = _sums(
        network, data, choose(backend), loss, huber_delta
    )
    mean = float(loss_sum) / n
    if not math.isfinite(mean):
        raise InputError(
            f"the loss is {mean} on {data.name}: the network's weights are too large "
            "for these images"
        )
    whole = scores.variation(data.test, data.task)
    score = scores.score(score_sum, n, whole, n)
    result = Evaluation(mean, score, scores.metric(loss), n)
    if whole is not None:
        errors = np.asarray(score_sum, np.float64)
        rmse = scores.rmse(errors, n, data.targets)
        return result._replace(r2=scores.r2(errors, whole), rmse=rmse)
    if data.task == "multilabel":
        return result._replace(counts=counts(predicted > 0.5, labels > 0))
    table = confusion(labels, predicted, len(data.classes))
    of_each = np.array([np.diag(table), table.sum(axis=0), table.sum(axis=1)])
    return result._replace(confusion=table, counts=of_each)


def _loaded(network: Network, data: Any, target: Any) -> Dataset:
    """Return a data set unchanged, or made from a pair, or loaded as by the command.

    Raises:
        InputError: as for `evaluate`
    """
    named = {"target": table_options.checked({"target": target}).target}
    is_path = isinstance(data, str | PathLike)
    if named["target"] and not (is_path and network.columns):
        raise InputError("target is for a table given by its path: leave it out")
    if isinstance(data, tuple) and not isinstance(data, Dataset):
        return _of_pair(network, data)
    if not is_path:
        return given.loaded(data)
    path = files.given(data, "a data set, or its name")
    return load_data(named, str(path), network=network)


def _of_pair(network: Network, pair: Any) -> Dataset:
    """Return rows in memory as a data set of the network's, all of them for testing."""
    from nnx.data import from_memory

    x, y = given.checked_pair("data", pair)
    if network.columns and not is_frame(x):
        x = as_array(x, "x")
        refuse_scaled(x, network.columns)
    split = from_memory.split_like(network, x, y, ("x", "y"))
    return made_like(network, IN_MEMORY, split, split)


def _sums(
    network: Network, data: Dataset, chosen: Backend, loss: str, huber_delta: float
) -> tuple[Array, Array, Array]:
    """Return the sums of losses and of scores, and the outputs for each test image.

    In single-label classification the output is the number of the predicted class.
    """
    scale = network.pixel_scale(data.test.images.dtype)
    hyper = Hyperparameters(
        network.activation, scale, BLOCK, loss=loss, huber_delta=huber_delta
    )
    loss_sum: Array = 0
    score_sum: Array = 0
    outputs, window = [], windows.automatic([data.test], chosen)
    with chosen.scope():
        layers = map_arrays(chosen.from_numpy, finite(network.layers, "layers"))
        whole = on_device(data.test, network, chosen, window)
        for images in windows.all_of(whole, window, chosen):
            blocks = evaluation.each_block(layers, images, hyper, chosen.ops)
            for logits, *sums in blocks:
                loss_sum, score_sum = loss_sum + sums[0], score_sum + sums[1]
                told = chosen.to_numpy(LOSSES[loss].outputs(logits, xp=chosen.xp))
                one = data.task == "classification"
                outputs.append(np.argmax(told, axis=1) if one else told)
        loss_sum, score_sum = chosen.to_numpy(loss_sum), chosen.to_numpy(score_sum)
    return loss_sum, score_sum, np.concatenate(outputs)


def counts(taken: Array, true: Array) -> Array:
    """Return each label's true positives, predicted positives and actual positives.

    taken: the predictions, (n, labels), bool
    true: the labels, (n, labels), bool
    returns: (3, labels), int64
    """
    return np.array([part.sum(axis=0) for part in (taken & true, taken, true)])


def confusion(labels: Array, predicted: Array, classes: int) -> Array:
    """Return how many images of each row's class were predicted as each column's.

    labels, predicted: (n,), integers in [0, classes)
    returns: (classes, classes), int64
    """
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (labels, predicted), 1)
    return counts


def check_fits(network: Network, data: Dataset) -> None:
    """Refuse data whose test images the network cannot take.

    Raises:
        InputError: as for `evaluate`
    """
    _refuse_other_scales(network, data)
    theirs = (data.train.images.shape[1], data.classes, data.frame.maximum)
    own = (network.sizes[0], network.classes, network.frame.maximum)
    if theirs != own:
        hint = ""
        if theirs[:2] == own[:2] and data.columns == network.columns:
            hint = "; in Python, network.replace(frame=data.frame) takes these pixels"
        raise InputError(
            f"{data.name} does not fit the network: features, classes, brightest pixel "
            f"are {_words(theirs)}; the network takes {_words(own)}{hint}"
        )
    for name in "task", "columns", "targets":
        if getattr(data, name) != getattr(network, name):
            raise InputError(
                f"{data.name} does not fit the network: its {name} are not those that "
                "the network was trained on"
            )
    images, source = data.test.images, f"{data.name}: "
    check_images(images, network.sizes[0], data.columns, source)
    check_labels(np.asarray(data.test.labels), len(images), data)


def _refuse_other_scales(network: Network, data: Dataset) -> None:
    """Refuse a table with the network's columns but other scales or categories."""
    own, theirs = ([c.name for c in of.columns] for of in (network, data))
    if own and {*own} == {*theirs} and network.columns != data.columns:
        raise InputError(
            f"{data.name} does not fit the network: its columns are scaled by its own "
            "rows, and not as the network's; read it with like=network: "
            "nnx.load(path, target=…, like=network) or nnx.dataset(x, y, like=network)"
        )


def _words(fits: tuple[int, tuple[str, ...], int]) -> str:
    features, classes, maximum = fits
    return f"{features}, {len(classes)} ({' '.join(classes[:10])}), {maximum}"
