"""What a network learned: its first layer's weights, and what its units do."""

from typing import Any

import numpy as np

from nnx.data.dataset import Array
from nnx.errors import InputError
from nnx.network import Network
from nnx.report import style

UNITS, ACROSS, SAMPLES = 100, 20, 8
# A unit is dead that gives less for every image; of fewer images it cannot be told.
DEAD, ENOUGH = 1e-6, 50


def weights(network: Network) -> style.Picture:
    """Return a figure of the first layer's weights, a picture for each unit.

    Raises:
        InputError: a network that takes no pictures
    """
    style.check_pictures(network)
    frame, weight = network.frame, np.asarray(network.layers[0].weight)
    shown = min(weight.shape[1], UNITS)
    # The strongest units: what weighs little is noise.
    norms = np.linalg.norm(weight, axis=0)
    units = np.sort(np.argsort(-norms, kind="stable")[:shown])
    pictures = weight[:, units].T.reshape(shown, frame.height, frame.width)
    # A few weights are far larger than all others, which would not be seen beside them.
    bound = float(np.quantile(np.abs(pictures), 0.995)) or 1.0
    which = "" if shown == weight.shape[1] else f": the {shown} strongest units"
    title = f"Weights of the first layer{which}; orange above zero, violet below"
    how: dict[str, Any] = {"cmap": style.SIGNED, "vmin": -bound, "vmax": bound}
    columns = ACROSS if shown > 2 * ACROSS else ACROSS // 2
    figure, image = style.mosaic(pictures, columns, title, right=0.75, **how)
    [panel] = figure.axes
    place = panel.get_position()
    beside = place.x1 + 0.15 / style.WIDTH, place.y0, 0.12 / style.WIDTH, place.height
    bar = figure.colorbar(image, cax=figure.add_axes(beside), extend="both")
    bar.ax.tick_params(labelsize=7, colors=style.QUIET)
    return figure


def activations(network: Network, images: Array) -> style.Picture:
    """Return a figure of what hidden units give for some images.

    And of how many units are dead: whatever the image, they give 0.

    images: (n, features), of which the first are shown

    Raises:
        InputError: a network without hidden layers, or that takes no pictures
    """
    style.check_pictures(network)
    frame, hidden = network.frame, network.activations(images)
    images = np.asarray(images)
    if not hidden:
        raise InputError(f"a network {network} has no hidden units to be shown")
    shown = min(SAMPLES, len(images))
    title = "Outputs of hidden units: orange above zero, violet below"
    figure = style.new(0.9 + 0.75 * shown, title)
    widths = [0.75] + [8.0 / len(hidden)] * len(hidden)
    room: Any = {"bottom": 0.45, "top": 0.6, "apart": 0.2}
    first, *panels = style.panels(figure, widths, **room)
    pictures = np.reshape(images[:shown], (-1, frame.height, frame.width))
    first.imshow(_stacked(pictures), aspect="auto", **style.PLAIN)
    first.set_axis_off()
    for i, (units, panel) in enumerate(zip(hidden, panels, strict=True), 1):
        top = float(np.abs(units[:shown]).max()) or 1.0
        panel.imshow(
            units[:shown], cmap=style.SIGNED, vmin=-top, vmax=top, aspect="auto",
            interpolation="nearest",
        )  # fmt: skip
        style.plain(panel, _words(i, len(hidden), units), "unit")
        panel.set_yticks(np.arange(shown - 1) + 0.5, [""] * (shown - 1))
        panel.grid(visible=False, axis="x")
        panel.grid(visible=True, axis="y", color="white", linewidth=4, alpha=1.0)
        panel.tick_params(axis="y", length=0)
    return figure


def _stacked(pictures: Array) -> Array:
    """Return pictures one under another, with a gap that is drawn white."""
    return np.pad(pictures.astype(float), ((0, 0), (1, 1), (0, 0))).reshape(
        -1, pictures.shape[2]
    )


def _words(layer: int, layers: int, units: Array) -> str:
    """Say what a panel shows; short, where many are side by side."""
    dead = float(np.mean(np.max(np.abs(units), axis=0) < DEAD))
    if layers > 8:
        return str(layer)
    words = f"{layer}" if layers > 4 else f"layer {layer}: {units.shape[1]} units"
    return words if len(units) < ENOUGH else f"{words}, {dead:.0%} dead"
