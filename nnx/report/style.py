"""What all pictures have in common: colours, sizes, and how they become bytes.

The colours are told apart by the colour-blind, and in grey by how bright they are
(Okabe and Ito, "Color universal design", 2008).
"""

import io
from collections.abc import Sequence
from typing import Any

from matplotlib import colormaps, rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle

INK, QUIET, BLUE, ORANGE = "#0f172a", "#64748b", "#0072b2", "#d55e00"
# A run's line: its colour and its dashes.
LINES = (
    (BLUE, "-"), (ORANGE, "--"), ("#009e73", "-."), ("#cc79a7", ":"),
    ("#56b4e9", (0, (5, 1))), ("#e69f00", (0, (3, 1, 1, 1))), (INK, (0, (1, 1))),
)  # fmt: skip
CANVASES = {"png": FigureCanvasAgg, "svg": FigureCanvasSVG}
DPI = 120
# Between pictures, and with words in it, in pictures' widths.
GAP, CAPTION = 0.08, 0.24
PLAIN = {"cmap": "gray_r", "interpolation": "nearest"}
FRAME = {"edgecolor": "#cbd5e1", "linewidth": 0.8}
# Below and above zero; white is zero.
SIGNED = colormaps["PuOr_r"]


def new(width: float, height: float, title: str) -> Figure:
    """Return an empty figure of so many inches, with its title at the left."""
    layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06)
    figure = Figure((width, height), dpi=DPI, layout=layout)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, color=INK)
    return figure


def plain(panel: Any, title: str = "", x: str = "", y: str = "") -> None:
    """Give a panel of lines its words, and take away what says nothing."""
    panel.set_title(title, loc="left", fontsize=9, color=INK)
    panel.set_xlabel(x, fontsize=9, color=QUIET)
    panel.set_ylabel(y, fontsize=9, color=QUIET)
    panel.tick_params(which="both", labelsize=8, colors=QUIET)
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(alpha=0.25)


def grid(
    panel: Any, pictures: Any, columns: int, captions: Sequence[str] = (),
    marked: Sequence[bool] = (), **how: Any,
) -> Any:  # fmt: skip
    """Show pictures side by side in lines of so many; return the last as drawn.

    pictures: (n, height, width), each one wide in the panel's units
    captions: words under each; marked: whether its frame stands out
    """
    height = pictures.shape[1] / pictures.shape[2]
    apart = height + (CAPTION if captions else GAP)
    lines, shown = max(1, -(-len(pictures) // columns)), None
    for i, picture in enumerate(pictures):
        line, column = divmod(i, columns)
        left, top = column * (1 + GAP), -line * apart
        box = left, left + 1, top - height, top
        shown = panel.imshow(picture, extent=box, **PLAIN | how)
        stands_out = i < len(marked) and marked[i]
        frame: Any = {"edgecolor": ORANGE, "linewidth": 2} if stands_out else FRAME
        panel.add_patch(Rectangle((left, top - height), 1, height, fill=False, **frame))
        if captions:
            panel.text(
                left + 0.5, top - height - 0.03, captions[i],
                ha="center", va="top", fontsize=8, color=INK,
            )  # fmt: skip
    panel.set_xlim(-GAP, columns * (1 + GAP))
    panel.set_ylim(-lines * apart, GAP)
    panel.set_aspect("equal")
    panel.set_axis_off()
    return shown


def encoded(figure: Figure, kind: str) -> bytes:
    """Return a figure as a file's content; kind: png or svg."""
    content = io.BytesIO()
    CANVASES[kind](figure)
    # Without the time of day and random names: the same run gives the same bytes.
    metadata: Any = {"Date": None} if kind == "svg" else {}
    with rc_context({"svg.hashsalt": "nnx"}):
        figure.savefig(content, format=kind, metadata=metadata)
    return content.getvalue()
