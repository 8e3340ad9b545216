"""What all pictures have in common: colours, sizes, and how they become bytes.

The colours are told apart by the colour-blind, and in grey by how bright they are
(Okabe and Ito, "Color universal design", 2008).
"""

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from warnings import catch_warnings, filterwarnings

import numpy as np
from matplotlib import colormaps, rc_context, rcdefaults
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from nnx.errors import InputError, in_few_words
from nnx.network import Network, checked

INK, QUIET, BLUE, ORANGE = "#0f172a", "#64748b", "#0072b2", "#d55e00"
# Lines are told apart by colour and by dashes.
COLOURS = BLUE, ORANGE, "#009e73", "#cc79a7", "#56b4e9", "#e69f00", INK
DASHES = "-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1))
CANVASES = {"png": FigureCanvasAgg, "svg": FigureCanvasSVG}
DPI = 110
WIDTH = 9.5  # inches
# Between pictures, and for a line of words, in pictures' widths.
GAP, LINE = 0.08, 0.16
PLAIN = {"cmap": "gray_r", "interpolation": "nearest"}
FRAME = "#cbd5e1"
# Below and above zero; white is zero.
SIGNED = colormaps["PuOr_r"]


def line(number: int) -> tuple[str, Any]:
    """Return the colour and the dashes of a line; the first 49 are all different."""
    turn, place = divmod(number, len(COLOURS))
    return COLOURS[place], DASHES[(place + turn) % len(DASHES)]


def literal(text: str) -> str:
    """Return a text of which matplotlib makes no formula."""
    return text.replace("$", r"\$")


def shortened(names: Sequence[str], most: int) -> list[str]:
    """Return names in so many characters, of which matplotlib makes no formula.

    They are cut in the middle, and numbered where two of them would look alike.
    """
    short = [_cut(name, most) for name in names]
    often = Counter(short)
    for i, name in enumerate(names):
        if often[short[i]] > 1:
            number = f"{i}: "
            short[i] = number + _cut(name, most - len(number))
    return [literal(name) for name in short]


def _cut(name: str, most: int) -> str:
    """Return a name's beginning and end, if it is longer than that."""
    head = most // 2
    return name if len(name) <= most else f"{name[:head]}…{name[head + 1 - most :]}"


@contextmanager
def own_settings() -> Iterator[None]:
    """Draw by matplotlib's own settings, whatever a user's matplotlibrc says."""
    with rc_context():
        rcdefaults()
        yield


class Picture(Figure):
    """A figure that a notebook shows by itself, with or without pyplot."""

    def _repr_png_(self) -> bytes:
        return encoded(self, "png")


def check_pictures(network: Network) -> None:
    """Refuse what is no network, and one whose rows of features are no pictures."""
    if checked(network).frame.box == 0:
        raise InputError(
            f"a network {network} takes {network.sizes[0]} features that are no picture"
        )


def checked_names(names: Any, what: str) -> tuple[str, ...]:
    """Return names in a list; refused where they are none, or no texts."""
    names = names.tolist() if isinstance(names, np.ndarray) else names
    each = names if isinstance(names, list | tuple) else []
    if not each or not all(isinstance(name, str) for name in each):
        raise InputError(
            f"{what} must be texts in a list, not {in_few_words(names, 60)}"
        )
    return tuple(each)


def new(height: float, title: str, width: float = WIDTH) -> Picture:
    """Return an empty figure of so many inches, with its title at the left."""
    figure = Picture((width, height), dpi=DPI)
    top = 1 - 0.08 / height
    figure.suptitle(title, x=0.1 / width, y=top, ha="left", fontsize=11, color=INK)
    return figure


def panels(
    figure: Figure, widths: Sequence[float] = (1.0,), *, left: float = 0.1,
    right: float = 0.1, bottom: float = 0.1, top: float = 0.4, apart: float = 0.0,
    lines: int = 1,
) -> list[Any]:  # fmt: skip
    """Return panels side by side, in so many lines of them.

    Their places are given, as a layout that looks for room draws everything twice.

    widths: of each, relative to the others
    left, right, bottom, top: inches around all of them; apart: between two, either way
    """
    width, height = figure.get_size_inches()
    mean = (width - left - right - apart * (len(widths) - 1)) / len(widths)
    tall = (height - top - bottom - apart * (lines - 1)) / lines
    edges = {
        "left": left / width, "right": 1 - right / width, "bottom": bottom / height,
        "top": 1 - top / height, "wspace": apart / mean, "hspace": apart / tall,
    }  # fmt: skip
    made: Any = figure.subplots(
        lines, len(widths), squeeze=False, width_ratios=widths, gridspec_kw=edges
    )
    return list(made.ravel())


def plain(panel: Any, title: str = "", x: str = "", y: str = "") -> None:
    """Give a panel of lines its words, and take away what says nothing."""
    panel.set_title(title, loc="left", fontsize=9, color=INK)
    panel.set_xlabel(x, fontsize=9, color=QUIET)
    panel.set_ylabel(y, fontsize=9, color=QUIET)
    panel.tick_params(which="both", labelsize=8, colors=QUIET)
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(alpha=0.25)


def scale(image: Any, **how: Any) -> Any:
    """Return the scale of an image's colours, added at the right of its panel."""
    panel, figure = image.axes, image.axes.figure
    place, width = panel.get_position(), figure.get_figwidth()
    beside = place.x1 + 0.15 / width, place.y0, 0.12 / width, place.height
    bar = figure.colorbar(image, cax=figure.add_axes(beside), **how)
    bar.ax.tick_params(labelsize=7, colors=QUIET)
    return bar


def mosaic(
    pictures: Any, columns: int, title: str, captions: Sequence[str] = (),
    marked: Sequence[bool] = (), *, right: float = 0.1, **how: Any,
) -> tuple[Picture, Any]:  # fmt: skip
    """Return a figure of pictures in lines of so many, and what is drawn on it.

    They are one image: a hundred would take a second to draw.

    pictures: (n, height, width)
    captions: words under each, in one line or two; marked: whose frame stands out
    right: inches left free there
    """
    count, height, width = pictures.shape
    gap = max(1, round(GAP * width))
    words = max((caption.count("\n") + 1 for caption in captions), default=0)
    apart = height + (round((GAP + words * LINE) * width) if captions else gap)
    lines = max(1, -(-count // columns))
    whole = np.full((lines * apart, columns * (width + gap) - gap), np.nan)
    inches = (WIDTH - 0.1 - right) / whole.shape[1] * len(whole)
    figure = new(0.45 + inches, title)
    [panel] = panels(figure, right=right, bottom=0.05)
    frames = []
    for i, picture in enumerate(pictures):
        top, left = i // columns * apart, i % columns * (width + gap)
        whole[top : top + height, left : left + width] = picture
        frames.append(Rectangle((left - 0.5, top - 0.5), width, height))
        if captions:
            panel.text(
                left + width / 2 - 0.5, top + height + 0.02 * width, captions[i],
                ha="center", va="top", fontsize=8, color=INK,
            )  # fmt: skip
    shown = panel.imshow(whole, **PLAIN | how)
    marks = [*marked, *[False] * (count - len(marked))]
    edges: Any = {
        "edgecolor": [ORANGE if mark else FRAME for mark in marks],
        "linewidth": [2.0 if mark else 0.8 for mark in marks],
    }
    panel.add_collection(
        PatchCollection(frames, facecolor="none", clip_on=False, **edges)
    )
    panel.set_axis_off()
    return figure, shown


def encoded(figure: Figure, kind: str) -> bytes:
    """Return a figure as a file's content; kind: png or svg."""
    content = io.BytesIO()
    CANVASES[kind](figure)
    # Without the time of day and random names: the same run gives the same bytes.
    metadata: Any = {"Date": None} if kind == "svg" else {}
    with rc_context({"svg.hashsalt": "nnx"}), catch_warnings():
        # A name in a script that the font lacks is shown as boxes.
        filterwarnings("ignore", r"Glyph .* missing from")
        figure.savefig(content, format=kind, metadata=metadata, dpi=DPI)
    return content.getvalue()
