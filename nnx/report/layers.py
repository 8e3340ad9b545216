"""What a network has learned: the first layer's weights, and the units' outputs."""

import math
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from nnx.data.dataset import Array
from nnx.errors import InputError
from nnx.network import Network
from nnx.report import style

UNITS, ACROSS, SAMPLES = 100, 20, 8
MANY = 8  # layers; with more, a panel's title is only a number
# A unit is dead if its outputs for all images are smaller than DEAD. With fewer than
# ENOUGH images this is not reported.
DEAD, ENOUGH = 1e-6, 50


def weights(network: Network) -> style.Picture:
    """Return a figure of the first layer's weights, with a picture for each unit.

    Of more than `UNITS` units, those with the largest weights are shown.

    Raises:
        InputError: the network does not take pictures
    """
    style.check_pictures(network)
    frame, weight = network.frame, np.asarray(network.layers[0].weight)
    shown = min(weight.shape[1], UNITS)
    # Show the units with the largest weights: small weights are noise.
    norms = np.linalg.norm(weight, axis=0)
    units = np.sort(np.argsort(-norms, kind="stable")[:shown])
    pictures = weight[:, units].T.reshape(shown, frame.height, frame.width)
    # A few weights are far larger than the others, and would make them invisible.
    bound = float(np.quantile(np.abs(pictures), 0.995)) or 1.0
    which = "" if shown == weight.shape[1] else f": the {shown} strongest units"
    title = f"Weights of the first layer{which}; orange above zero, violet below"
    how: dict[str, Any] = {"cmap": style.SIGNED, "vmin": -bound, "vmax": bound}
    across = ACROSS if shown > 2 * ACROSS else ACROSS // 2
    # Units have the same area for any shape of picture.
    columns = max(1, round(across * math.sqrt(frame.height / frame.width)))
    figure, image = style.mosaic(pictures, columns, title, right=0.75, **how)
    style.scale(image, extend="both")
    return figure


def activations(network: Network, images: Array) -> style.Picture:
    """Return a figure of the outputs of hidden units for some images.

    With enough images, it also states each layer's share of dead units, whose outputs
    are 0 for every image.

    images: (n, features); the first `SAMPLES` are shown

    Raises:
        InputError: the network has no hidden layers, or does not take pictures
    """
    style.check_pictures(network)
    frame, hidden = network.frame, network.activations(images)
    images = np.asarray(images)
    if not hidden:
        raise InputError(f"a network {network} has no hidden units to be shown")
    shown = min(SAMPLES, len(images))
    title = "Outputs of hidden units: orange above zero, violet below"
    figure = style.new(1.25 + 0.75 * shown, title)
    widths = [0.75] + [8.0 / len(hidden)] * len(hidden)
    room: Any = {"bottom": 0.8, "top": 0.6, "apart": 0.2}
    first, *panels = style.panels(figure, widths, **room)
    _stack(first, np.reshape(images[:shown], (-1, frame.height, frame.width)))
    for i, (units, panel) in enumerate(zip(hidden, panels, strict=True), 1):
        top = float(np.abs(units[:shown]).max()) or 1.0
        image = panel.imshow(
            units[:shown], cmap=style.SIGNED, vmin=-top, vmax=top, aspect="auto",
            interpolation="nearest",
        )  # fmt: skip
        style.plain(panel, _words(i, len(hidden), units), "unit")
        whole: Any = {"integer": True, "min_n_ticks": 1, "steps": (1, 2, 5, 10)}
        panel.xaxis.set_major_locator(MaxNLocator(**whole))
        panel.set_yticks(np.arange(shown - 1) + 0.5, [""] * (shown - 1))
        panel.grid(visible=False, axis="x")
        panel.grid(visible=True, axis="y", color="white", linewidth=4, alpha=1.0)
        panel.tick_params(axis="y", length=0)
        _scale(image, [-top, 0.0, top] if len(hidden) <= MANY else [top])
    return figure


def _stack(panel: Any, pictures: Array) -> None:
    """Draw pictures one below another, as large as the room allows."""
    place, (width, height) = panel.get_position(), panel.figure.get_size_inches()
    room, line = place.width * width, place.height * height / len(pictures)
    inch = min(room / pictures.shape[2], 0.94 * line / pictures.shape[1])
    high, wide = inch * pictures.shape[1] / 2, inch * pictures.shape[2] / 2
    bright = float(pictures.max()) or 1.0
    for i, picture in enumerate(pictures):
        x, y = room / 2, (i + 0.5) * line
        where: Any = {"extent": (x - wide, x + wide, y + high, y - high)}
        panel.imshow(picture, vmin=0, vmax=bright, **where, **style.PLAIN)
    panel.set(xlim=(0, room), ylim=(len(pictures) * line, 0), aspect="auto")
    panel.set_axis_off()


def _scale(image: Any, ticks: list[float]) -> None:
    """Add the color scale of a panel below it."""
    place, figure = image.axes.get_position(), image.axes.figure
    height = figure.get_figheight()
    under = figure.add_axes((place.x0, 0.27 / height, place.width, 0.08 / height))
    how: Any = {"orientation": "horizontal", "ticks": ticks, "format": "%.2g"}
    bar = figure.colorbar(image, cax=under, **how)
    bar.ax.tick_params(labelsize=7, colors=style.QUIET, length=2)
    # Keep labels within the panel's width, next to those of another panel.
    for label, tick in zip(bar.ax.get_xticklabels(), ticks, strict=True):
        label.set_ha("left" if tick < 0 else "right" if tick > 0 else "center")


def _words(layer: int, layers: int, units: Array) -> str:
    """Return a panel's title, shorter if there are many panels."""
    dead = float(np.mean(np.max(np.abs(units), axis=0) < DEAD))
    if layers > MANY:
        return str(layer)
    count = units.shape[1]
    of = f"{count} unit{'s' if count != 1 else ''}"
    words = f"{layer}" if layers > 4 else f"layer {layer}: {of}"
    return words if len(units) < ENOUGH else f"{words}, {dead:.0%} dead"
