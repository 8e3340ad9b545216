"""What a network makes of images: right and wrong, and how sure it is."""

import numpy as np
from matplotlib.figure import Figure

from nnx.data.dataset import Array, Frame
from nnx.report import style

ACROSS, LINES = 8, 4


def confusion(labels: Array, predicted: Array, classes: tuple[str, ...]) -> Figure:
    """Return a figure of how many images of each class were taken for which.

    What is right is left out of the colours: one mistake in a thousand would not show.
    """
    k = len(classes)
    counts = np.zeros((k, k), np.int64)
    np.add.at(counts, (labels, predicted), 1)
    wrong = counts - np.diag(np.diag(counts))
    side = max(4.0, min(0.42 * k + 1.6, 12.0))
    figure = style.new(side, side, f"{wrong.sum():,} of {counts.sum():,} mistaken")
    panel = figure.subplots()
    panel.imshow(wrong, cmap="Oranges", vmin=0, vmax=max(1, 1.4 * wrong.max()))
    for i, j in np.argwhere(counts) if k <= 30 else ():
        colour = style.QUIET if i == j else style.INK
        panel.text(
            j, i, f"{counts[i, j]}", ha="center", va="center", fontsize=7, color=colour
        )
    for axis in panel.xaxis, panel.yaxis:
        axis.set_ticks(range(k), classes, fontsize=8)
    style.plain(panel, "", "taken for", "is")
    panel.grid(visible=False)
    panel.tick_params(length=0)
    return figure


def mistakes(
    images: Array, labels: Array, probabilities: Array, classes: tuple[str, ...],
    frame: Frame,
) -> Figure:  # fmt: skip
    """Return a figure of the most confident mistakes, with their probabilities."""
    predicted = np.argmax(probabilities, axis=1)
    sure = probabilities[np.arange(len(labels)), predicted]
    wrong = np.flatnonzero(predicted != labels)
    worst = wrong[np.argsort(-sure[wrong], kind="stable")][: ACROSS * LINES]
    captions = [
        f"{classes[predicted[i]]}: {sure[i]:.0%}, is {classes[labels[i]]}"
        for i in worst
    ]
    title = "The most confident mistakes" if len(worst) else "No mistakes"
    return _grid(images[worst], captions, [True] * len(worst), frame, title)


def samples(
    images: Array, labels: Array, probabilities: Array, classes: tuple[str, ...],
    frame: Frame,
) -> Figure:  # fmt: skip
    """Return a figure of the first images and what they are taken for."""
    first = slice(ACROSS * LINES)
    predicted = np.argmax(probabilities[first], axis=1)
    captions = [
        f"{classes[p]}: {row[p]:.0%}" + ("" if p == label else f", is {classes[label]}")
        for p, row, label in zip(predicted, probabilities, labels, strict=False)
    ]
    wrong = list(predicted != labels[first])
    title = "What test images are taken for"
    return _grid(images[first], captions, wrong, frame, title)


def _grid(
    images: Array, captions: list[str], wrong: list[bool], frame: Frame, title: str
) -> Figure:
    """Return a figure of images, (n, features), with words under each."""
    lines = max(1, -(-len(images) // ACROSS))
    height = frame.height / frame.width + style.CAPTION
    figure = style.new(9.5, min(0.5 + 1.1 * lines * height, 20.0), title)
    pictures = images.reshape(-1, frame.height, frame.width)
    style.grid(figure.subplots(), pictures, ACROSS, captions, wrong)
    return figure
