"""A network's predictions of classes and labels: right, wrong, and how certain."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator, PercentFormatter

from nnx.data.arrays import as_array
from nnx.data.dataset import Array, Split, check_classes, check_images
from nnx.errors import InputError
from nnx.network import Network
from nnx.report import style
from nnx.training import evaluate

ACROSS, LINES = 8, 4
MOST_LABELS = 30
NUMBERED = 40  # classes; with more, a confusion matrix has no room for numbers


def confusion(labels: Array, predicted: Array, classes: Sequence[str]) -> style.Picture:
    """Return a figure of how many images of each class are predicted as which class.

    Only mistakes are colored: otherwise one mistake in a thousand would not be visible.

    labels, predicted: (n,), integers in [0, classes)

    Raises:
        InputError: an argument has another form
    """
    classes = style.checked_names(classes, "classes")
    labels, predicted = as_array(labels, "labels"), as_array(predicted, "predicted")
    k = len(classes)
    for numbers in labels, predicted:
        check_classes(numbers, labels.size, k)
    counts = evaluate.confusion(labels, predicted, k)
    wrong = counts - np.diag(np.diag(counts))
    few = k <= NUMBERED
    names, side = style.shortened(classes, 20), max(3.0, min(0.4 * k, 10.0))
    cell = 72 * side / k  # points
    size = max(4.0, min(8.0, 0.75 * cell))
    longest = max(map(len, names))
    words = 0.35 + 0.07 * longest * size / 8
    title = f"Confusion matrix: {wrong.sum():,} of {counts.sum():,} wrong"
    upright = 90 if longest > 3 else 0
    under = 0.25 + (words if upright else 0.25)
    over, right = (0.4, 0.1) if few else (0.65, 0.8)
    figure = style.new(side + under + over, title, side + words + right + 0.2)
    room: Any = {"left": words + 0.2, "right": right, "bottom": under, "top": over}
    [panel] = style.panels(figure, **room)
    (_draw if few else _draw_many)(panel, counts, wrong)
    of = "" if few else "grey: the share of a class that is right"
    style.plain(panel, of, "predicted class", "true class")
    shown = np.arange(0, k, math.ceil(1.2 * size / cell))
    those = [names[i] for i in shown]
    panel.set_xticks(shown, those, fontsize=size, rotation=upright)
    panel.set_yticks(shown, those, fontsize=size)
    panel.grid(visible=False)
    panel.tick_params(length=0)
    return figure


def _draw(panel: Any, counts: Array, wrong: Array) -> None:
    """Draw a confusion matrix as numbers, with a darker background for mistakes."""
    panel.imshow(wrong, cmap="Oranges", vmin=0, vmax=max(1, 1.4 * wrong.max()))
    size = min(7.0, 360 / len(counts))
    for i, j in np.argwhere(counts):
        colour = style.QUIET if i == j else style.INK
        how: Any = {"fontsize": size, "color": colour, "ha": "center", "va": "center"}
        panel.text(j, i, f"{counts[i, j]}", **how)


def _draw_many(panel: Any, counts: Array, wrong: Array) -> None:
    """Draw a confusion matrix without numbers, but with a color scale."""
    image = panel.imshow(wrong, cmap="Oranges", vmin=0, vmax=max(1, wrong.max()))
    right = np.diag(np.diag(counts) / np.maximum(1, counts.sum(axis=1)))
    own = np.ma.masked_where(~np.eye(len(counts), dtype=bool), right)
    panel.imshow(own, cmap="Greys", vmin=0, vmax=1.5)
    bar = style.scale(image, ticks=MaxNLocator(integer=True, min_n_ticks=1))
    bar.ax.set_title("mistakes", fontsize=7, color=style.QUIET)


def labels(counts: Array, names: Sequence[str]) -> style.Picture:
    """Return a figure of each label's precision and recall, as bars.

    If there are many labels, the most frequent ones are shown.

    counts: (3, labels), as in `training.evaluate.Evaluation`
    names: of the labels

    Raises:
        InputError: counts have another shape, or names are not strings
    """
    names, counts = style.checked_names(names, "names"), as_array(counts, "counts")
    if counts.shape != (3, len(names)) or counts.dtype.kind not in "fiu":
        raise InputError(
            f"expected counts of shape (3, {len(names)}), got {counts.shape}"
        )
    shown = np.sort(np.argsort(-counts[2], kind="stable")[:MOST_LABELS])
    title = "Precision and recall"
    if len(shown) < len(names):
        title += f" of the {len(shown)} most frequent labels"
    figure = style.new(1.05 + 0.36 * len(shown), title)
    short = style.shortened(names, 20)
    words = [f"{short[i]} ({counts[2, i]:,})" for i in shown]
    left = 0.35 + 0.075 * max(map(len, words))
    [panel] = style.panels(figure, left=left, bottom=0.55, right=0.3)
    places = np.arange(len(shown))
    for i, (label, of) in enumerate((("precision", 1), ("recall", 2))):
        whole = np.maximum(counts[of, shown], 1)
        colour, _ = style.line(i)
        side = places + (0.19 if i else -0.19)
        panel.barh(side, counts[0, shown] / whole, 0.36, color=colour, label=label)
    style.plain(panel, "", "in brackets: how many rows have the label")
    panel.set_yticks(places, words, fontsize=8)
    panel.set_ylim(len(shown) - 0.5, -0.5)
    panel.set_xlim(0.0, 1.0)
    panel.xaxis.set_major_formatter(PercentFormatter(1.0))
    panel.grid(visible=False, axis="y")
    figure.legend(loc="upper right", ncols=2, **style.LEGEND)
    return figure


def mistakes(network: Network, split: Split, probabilities: Array) -> style.Picture:
    """Return a figure of the most confident mistakes, with their probabilities.

    probabilities: (n, classes), the network's for the split's images

    Raises:
        InputError: the network takes no pictures, or the arguments do not fit it
    """
    probabilities = _checked(network, split, probabilities)
    predicted, labels = np.argmax(probabilities, axis=1), np.asarray(split.labels)
    sure = probabilities[np.arange(len(labels)), predicted]
    wrong = np.flatnonzero(predicted != labels)
    worst = wrong[np.argsort(-sure[wrong], kind="stable")][: _room(network)]
    title = "The most confident mistakes" if len(worst) else "No mistakes"
    return _grid(network, split, probabilities, worst, title)


def samples(network: Network, split: Split, probabilities: Array) -> style.Picture:
    """Return a figure of the first images and their predictions.

    Arguments and errors as for `mistakes`.
    """
    probabilities = _checked(network, split, probabilities)
    first = np.arange(min(_room(network), len(split.labels)))
    title = "Predictions for test images"
    return _grid(network, split, probabilities, first, title)


def _room(network: Network) -> int:
    """Return the number of images shown, in fewer lines if they are tall."""
    shape = network.frame.width / network.frame.height
    return ACROSS * max(1, min(LINES, round(2 * LINES * shape)))


def _checked(network: Network, split: Split, probabilities: Array) -> Array:
    """Return the probabilities; raise InputError if the arguments do not fit."""
    style.check_pictures(network)
    if not isinstance(split, Split):
        raise InputError(f"expected a nnx.Split, not a {type(split).__name__}")
    images = as_array(split.images)
    check_images(images, network.sizes[0], network.columns)
    check_classes(as_array(split.labels, "labels"), len(images), len(network.classes))
    probabilities, shape = as_array(probabilities), (len(images), network.sizes[-1])
    if probabilities.shape != shape or probabilities.dtype.kind != "f":
        raise InputError(
            f"expected probabilities of shape {shape}, got {probabilities.dtype} of "
            f"shape {probabilities.shape}"
        )
    return probabilities


def _grid(
    network: Network, split: Split, probabilities: Array, chosen: Array, title: str
) -> style.Picture:
    """Return a figure of some images with predictions and, for mistakes, the truth."""
    classes, frame, captions, wrong = network.classes, network.frame, [], []
    apart = "\n" if max(map(len, classes)) > 3 else ", "
    taken, truth = style.shortened(classes, 11), style.shortened(classes, 13)
    for label, shares in zip(
        np.asarray(split.labels)[chosen], probabilities[chosen], strict=True
    ):
        best = int(np.argmax(shares))
        wrong.append(best != label)
        captions.append(
            f"{taken[best]}: {_percent(shares[best])}"
            + (f"{apart}is {truth[label]}" if wrong[-1] else "")
        )
    pictures = np.reshape(
        as_array(split.images)[chosen], (-1, frame.height, frame.width)
    )
    # Use the frame's scale, so that a dim picture does not look bright.
    top = 1.0 if pictures.dtype.kind == "f" else frame.maximum
    how: Any = {"vmin": 0, "vmax": top}
    figure, _ = style.mosaic(pictures, ACROSS, title, captions, wrong, **how)
    return figure


def _percent(share: float) -> str:
    """Return a probability in whole percent; one rounded up to 100 % is ">99%"."""
    return ">99%" if 0.995 <= share < 1 else f"{share:.0%}"
