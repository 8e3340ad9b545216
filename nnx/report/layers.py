"""What a network learned: its first layer's weights, and what its units do."""

import math
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from nnx.data.dataset import Array, Frame
from nnx.network import Network
from nnx.report import style

UNITS, ACROSS, SAMPLES = 100, 20, 8
# Outputs of a unit that differ by less over all images say nothing about them.
DEAD = 1e-6


def weights(network: Network) -> Figure:
    """Return a figure of the first layer's weights, a picture for each unit."""
    frame, weight = network.frame, np.asarray(network.layers[0].weight)
    shown = min(weight.shape[1], UNITS)
    # The strongest units: what weighs little is noise.
    norms = np.linalg.norm(weight, axis=0)
    units = np.sort(np.argsort(-norms, kind="stable")[:shown])
    pictures = weight[:, units].T.reshape(shown, frame.height, frame.width)
    # A few weights are far larger than all others, which would not be seen beside them.
    bound = float(np.quantile(np.abs(pictures), 0.995)) or 1.0
    columns = min(ACROSS, math.ceil(math.sqrt(1.6 * shown)))
    height = -(-shown // columns) * (frame.height / frame.width + style.GAP)
    which = "" if shown == weight.shape[1] else f": the {shown} strongest units"
    title = f"Weights of the first layer{which}"
    size = min(0.6, 9.0 / height)
    figure = style.new(max(4.5, size * columns + 1.2), 0.6 + size * height, title)
    panel = figure.subplots()
    how: dict[str, Any] = {"cmap": style.SIGNED, "vmin": -bound, "vmax": bound}
    image = style.grid(panel, pictures, columns, **how)
    bar = figure.colorbar(image, ax=panel, shrink=0.8, aspect=30, extend="both")
    bar.set_label("weight", fontsize=8, color=style.QUIET)
    bar.ax.tick_params(labelsize=7, colors=style.QUIET)
    return figure


def activations(network: Network, images: Array, frame: Frame) -> Figure:
    """Return a figure of what hidden units give for some images.

    And of how many units are dead: whatever the image, they give the same.

    images: (n, features), of which the first are shown
    """
    hidden, shown = network.activations(images), min(SAMPLES, len(images))
    title = "Outputs of hidden units: orange above zero, violet below"
    figure = style.new(9.5, 0.9 + 0.75 * shown, title)
    shares = [1.0] + [8.0 / len(hidden)] * len(hidden)
    first, *panels = figure.subplots(1, len(shares), width_ratios=shares)
    pictures = images[:shown].reshape(shown, frame.height, frame.width)
    style.grid(first, pictures, 1)
    for i, (units, panel) in enumerate(zip(hidden, panels, strict=True), 1):
        top = float(np.abs(units[:shown]).max()) or 1.0
        panel.imshow(
            units[:shown], cmap=style.SIGNED, vmin=-top, vmax=top, aspect="auto",
            interpolation="nearest",
        )  # fmt: skip
        dead = float(np.mean(np.ptp(units, axis=0) < DEAD))
        words = f"layer {i}: {units.shape[1]} units, {dead:.0%} dead"
        style.plain(panel, words, "unit")
        panel.set_yticks(np.arange(shown - 1) + 0.5, [""] * (shown - 1))
        panel.grid(visible=False, axis="x")
        panel.grid(visible=True, axis="y", color="white", linewidth=4, alpha=1.0)
        panel.tick_params(axis="y", length=0)
    return figure
