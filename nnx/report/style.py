"""The common style of all pictures: colors, sizes, and conversion to bytes.

The color-blind can distinguish the colors, which also differ in brightness (Okabe and
Ito, "Color universal design", 2008).
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
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from nnx.errors import InputError, in_few_words
from nnx.network import Network, checked

INK, QUIET, BLUE, ORANGE = "#0f172a", "#64748b", "#0072b2", "#d55e00"
# Lines differ in color and in dashes.
COLOURS = BLUE, ORANGE, "#009e73", "#cc79a7", "#56b4e9", "#e69f00", INK
DASHES = "-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1))
CANVASES = {"png": FigureCanvasAgg, "svg": FigureCanvasSVG}
DPI = 110
DECADES = 100  # a logarithmic axis with at least this range has only powers of ten
WIDTH = 9.5  # inches
# Gap between pictures, and height of a line of text, in widths of a picture.
GAP, LINE = 0.08, 0.16
PLAIN = {"cmap": "gray_r", "interpolation": "nearest"}
LEGEND: Any = {"fontsize": 8, "frameon": False, "labelcolor": INK}
FRAME = "#cbd5e1"
# Colors of values below and above zero; zero is white.
SIGNED = colormaps["PuOr_r"]


def line(number: int) -> tuple[str, Any]:
    """Return the color and the dashes of a line; the first 49 are all different."""
    turn, place = divmod(number, len(COLOURS))
    return COLOURS[place], DASHES[(place + turn) % len(DASHES)]


def mark_decades(axis: Any, low: float, high: float) -> None:
    """Number a logarithmic axis from low to high: 1, 10, …, or 1, 2, 5, 10 if short."""
    steps = (1.0, 2.0, 5.0) if high < DECADES * low else (1.0,)
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def literal(text: str) -> str:
    """Return a text escaped so that matplotlib does not read it as a formula."""
    return text.replace("$", r"\$")


def shortened(names: Sequence[str], most: int) -> list[str]:
    """Return names of at most `most` characters, escaped as by `literal`.

    Longer names are cut in the middle, and numbered if two of them would look alike.
    """
    short = [_cut(name, most) for name in names]
    often = Counter(short)
    for i, name in enumerate(names):
        if often[short[i]] > 1:
            number = f"{i}: "
            short[i] = number + _cut(name, most - len(number))
    return [literal(name) for name in short]


def _cut(name: str, most: int) -> str:
    """Return a name, reduced to its beginning and end if it is longer than `most`."""
    head = most // 2
    return name if len(name) <= most else f"{name[:head]}…{name[head + 1 - most :]}"


@contextmanager
def own_settings() -> Iterator[None]:
    """Draw with matplotlib's default settings, ignoring the user's matplotlibrc."""
    with rc_context():
        rcdefaults()
        yield


class Picture(Figure):
    """A figure that a notebook displays, with or without pyplot."""

    def _repr_png_(self) -> bytes:
        return encoded(self, "png")


def check_pictures(network: Network) -> None:
    """Refuse anything but a network whose features are pictures."""
    if checked(network).frame.box == 0:
        raise InputError(
            f"a network {network} takes {network.sizes[0]} features that are no picture"
        )


def checked_names(names: Any, what: str) -> tuple[str, ...]:
    """Return names as a tuple; raise InputError if empty or not strings in a list."""
    names = names.tolist() if isinstance(names, np.ndarray) else names
    each = names if isinstance(names, list | tuple) else []
    if not each or not all(isinstance(name, str) for name in each):
        raise InputError(
            f"{what} must be texts in a list, not {in_few_words(names, 60)}"
        )
    return tuple(each)


def new(height: float, title: str, width: float = WIDTH) -> Picture:
    """Return an empty figure, sized in inches, with its title at the left."""
    figure = Picture((width, height), dpi=DPI)
    top = 1 - 0.08 / height
    figure.suptitle(title, x=0.1 / width, y=top, ha="left", fontsize=11, color=INK)
    return figure


def panels(
    figure: Figure, widths: Sequence[float] = (1.0,), *, left: float = 0.1,
    right: float = 0.1, bottom: float = 0.1, top: float = 0.4, apart: float = 0.0,
    lines: int = 1,
) -> list[Any]:  # fmt: skip
    """Return panels side by side, in one or more lines.

    Margins are explicit, because matplotlib's automatic layouts draw everything twice.

    widths: relative widths of the panels
    left, right, bottom, top: margins around all panels, in inches
    apart: space between panels, horizontally and vertically, in inches
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
    """Set a panel's title and labels, and remove superfluous lines."""
    panel.set_title(title, loc="left", fontsize=9, color=INK)
    panel.set_xlabel(x, fontsize=9, color=QUIET)
    panel.set_ylabel(y, fontsize=9, color=QUIET)
    panel.tick_params(which="both", labelsize=8, colors=QUIET)
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(alpha=0.25)


def scale(image: Any, **how: Any) -> Any:
    """Add the color scale of an image to the right of its panel, and return it."""
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
    """Return a figure of pictures in lines of `columns`, and the image drawn in it.

    All pictures are drawn as one image: a hundred images would take a second.

    pictures: (n, height, width)
    captions: text below each picture, of one or two lines
    marked: which pictures have a conspicuous frame
    right: margin at the right, in inches
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
    """Return the content of a figure's file; kind: png or svg."""
    content = io.BytesIO()
    CANVASES[kind](figure)
    # Without date and random names, the same run always gives the same bytes.
    metadata: Any = {"Date": None} if kind == "svg" else {}
    with rc_context({"svg.hashsalt": "nnx"}), catch_warnings():
        # Characters that the font lacks are shown as boxes, without a warning.
        filterwarnings("ignore", r"Glyph .* missing from")
        figure.savefig(content, format=kind, metadata=metadata, dpi=DPI)
    return content.getvalue()
