"""Counting the connected shapes in a picture, to tell whether they are one digit."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

# Shapes are counted in a picture of this side, among pixels with half the full ink.
SIDE = 48
# A shape with half the largest one's side is another digit, not a dot or loose stroke.
AS_LARGE = 0.5
# This many shapes, none of which has half the ink, are noise.
MANY = 8


def doubt(digit: Image.Image) -> str | None:
    """Return "noise" or "two shapes" if a picture is not one digit, or None.

    digit: grey, light on dark, cropped to its ink
    """
    shapes = _shapes(digit)
    sizes = [size for size, _ in shapes]
    if len(shapes) >= MANY and max(sizes) < sum(sizes) / 2:
        return "noise"
    sides = sorted((side for _, side in shapes), reverse=True)
    if len(sides) > 1 and sides[1] >= AS_LARGE * sides[0]:
        return "two shapes"
    return None


def _shapes(digit: Image.Image) -> list[tuple[int, int]]:
    """Return the number of pixels and the longer side of each connected shape."""
    scale = SIDE / max(digit.size)
    width, height = (max(1, round(side * scale)) for side in digit.size)
    small = digit.resize((width, height), Image.Resampling.BOX)
    half = max(1, np.asarray(small).max() / 2)
    left = small.point([255 * (level >= half) for level in range(256)])
    # Strokes that nearly touch count as connected, as a pen may have skipped.
    left = left.filter(ImageFilter.MaxFilter(3))
    shapes = []
    while left.getbbox():
        before = np.array(left)
        y, x = np.unravel_index(before.argmax(), before.shape)
        ImageDraw.floodfill(left, (int(x), int(y)), 0)
        rows, columns = np.nonzero(before != np.asarray(left))
        shapes.append((len(rows), int(max(np.ptp(rows), np.ptp(columns))) + 1))
    return shapes
