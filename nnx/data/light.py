"""Telling ground from ink in a grey picture, and correcting uneven light."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image, ImageFilter, ImageOps

from nnx.data.dataset import Array

# Light is estimated in a picture reduced to this side, with a window of this share of
# it, which is wider than any stroke and narrower than a shadow.
SIDE = 96
WINDOW = 1 / 4
# In levels of 255: light is even if it varies by less along the border.
EVEN = 8
# In levels of 255: noise from NOISY on is blurred, because it has specks that count as
# ink once the light is evened; from HEAVY on, with a radius of 1 / PEN of the picture's
# longer side, and weaker noise with a smaller one, which leaves small digits readable.
NOISY, HEAVY, PEN = 5, 24, 128
ROWS = 256  # corrected at once: floats of a large picture would need much memory


def evened(image: Image.Image, steps: list[str]) -> Image.Image:
    """Return a grey picture light on dark; uneven light is corrected to a ground of 0.

    The ground is found by morphological closing (for light strokes, opening): anything
    narrower than the window counts as ink, anything wider as light and shadow.
    """
    # In a drawing, unlike under real light, most of the border has a single shade.
    if not noise(image):
        return light_on_dark(image, steps)
    small = _small(image)
    closed, opened = (_without_thin(small, dark=dark) for dark in (True, False))
    # Ink at the border makes one of the two uneven; uneven light makes both uneven.
    if min(np.ptp(border(ground)) for ground in (closed, opened)) < EVEN:
        return light_on_dark(image, steps)
    steps.append("uneven light evened")
    dark = _has_dark_strokes(small)
    if dark:
        steps.append("dark on light: inverted")
    ground = (closed if dark else opened).resize(image.size, Image.Resampling.BILINEAR)
    return _off(image, ground, dark=dark)


def light_on_dark(image: Image.Image, steps: list[str]) -> Image.Image:
    """Return the picture, inverted if most of its border is light."""
    if np.median(border(image)) <= otsu(image):
        return image
    steps.append("dark on light: inverted")
    return ImageOps.invert(image)


def border(image: Image.Image) -> Array:
    """Return the outermost pixels: (2 * height + 2 * width,), uint8."""
    rows = np.asarray(image)
    return np.concatenate((rows[0], rows[-1], rows[:, 0], rows[:, -1]))


def otsu(image: Image.Image) -> float:
    """Return the level that separates the greys best, by the variance between classes.

    Source: N. Otsu, "A threshold selection method from gray-level histograms", 1979.
    """
    share = np.array(image.histogram()) / (image.width * image.height)
    below, mean = share.cumsum()[:-1], (share * np.arange(256)).cumsum()
    apart = below * (1 - below)
    between = (mean[-1] * below - mean[:-1]) ** 2
    between /= np.where(apart > 1e-12, apart, np.inf)
    # All levels between two shades separate them equally: the middle one is safest.
    return float(np.flatnonzero(between >= between.max() * (1 - 1e-9)).mean())


def levels(image: Image.Image) -> tuple[float, float]:
    """Return the upper bound of the ground's greys, and the grey of the ink.

    The bound lies above most of the border's noise: at the border's median plus
    `noise`, which is two standard deviations of normal noise.
    """
    ground = np.median(border(image)) + noise(image)
    grey = np.asarray(image)
    ink = grey[grey > otsu(image)]
    return float(ground), float(np.percentile(ink, 75) if ink.size else ground)


def noise(image: Image.Image) -> float:
    """Return three times the median absolute deviation of the border from its median.

    For normal noise in even light, this is two standard deviations.
    """
    greys = border(image).astype(np.float64)
    return float(3 * np.median(abs(greys - np.median(greys))))


def roughness(image: Image.Image) -> float:
    """Return `noise`, but in any light: from differences of neighbors on the border."""
    steps = np.diff(border(image).astype(np.float64))
    return float(3 * np.median(abs(steps)) / np.sqrt(2))


def smoothed(image: Image.Image, steps: list[str]) -> Image.Image:
    """Return the picture, blurred if it is noisy."""
    noise = roughness(image)
    if noise < NOISY:
        return image
    steps.append("noise smoothed")
    radius = min(1.0, noise / HEAVY) * max(image.size) / PEN
    return image.filter(ImageFilter.GaussianBlur(radius))


def _small(image: Image.Image) -> Image.Image:
    """Return the picture reduced in size and noise."""
    scale = min(1, SIDE / max(image.size))
    width, height = (max(1, round(side * scale)) for side in image.size)
    small = image.resize((width, height), Image.Resampling.BOX)
    return small.filter(ImageFilter.GaussianBlur(1))


def _without_thin(small: Image.Image, *, dark: bool) -> Image.Image:
    """Return the ground of a small picture, without its dark (or light) strokes."""
    half = int(WINDOW * max(small.size)) // 2
    grey = np.asarray(small, np.int16)
    beyond = [(min(2 * half, side - 1),) * 2 for side in grey.shape]
    # Extrapolate the light beyond the border, but do not take reflected ink for light.
    on = np.pad(grey, beyond, "reflect", reflect_type="odd")
    edge = np.pad(grey, beyond, "edge")
    grey = (np.minimum if dark else np.maximum)(on, edge).clip(0, 255)
    for largest in (dark, not dark):
        grey = _extreme(grey, half, largest=largest)
    ground = Image.fromarray(grey.astype(np.uint8))
    ground = ground.filter(ImageFilter.GaussianBlur(half / 4))
    (top, _), (left, _) = beyond
    return ground.crop((left, top, left + small.width, top + small.height))


def _extreme(grey: Array, half: int, *, largest: bool) -> Array:
    """Return the largest (or smallest) grey in a square window around each pixel."""
    for axis in (0, 1):
        around = [(half, half) if i == axis else (0, 0) for i in (0, 1)]
        windows = sliding_window_view(
            np.pad(grey, around, "edge"), 2 * half + 1, axis=axis
        )
        grey = windows.max(axis=-1) if largest else windows.min(axis=-1)
    return grey


def _has_dark_strokes(small: Image.Image) -> bool:
    """Return whether strokes are dark, compared with a quadratic fit of the light."""
    y, x = np.indices((small.height, small.width)).reshape(2, -1) / max(small.size)
    grey = np.asarray(small, np.float64).ravel()
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
    rest = grey - terms @ np.linalg.lstsq(terms, grey)[0]
    return bool((rest**3).sum() < 0)


def _off(image: Image.Image, ground: Image.Image, *, dark: bool) -> Image.Image:
    """Return a picture's difference from its ground; for dark ink, as a share of it.

    Ink absorbs a fixed share of the light that falls on it.
    """
    grey, under = np.asarray(image), np.asarray(ground)
    result = np.empty_like(grey)
    for top in range(0, image.height, ROWS):
        rows = slice(top, top + ROWS)
        off = grey[rows].astype(np.float32) - under[rows]
        if dark:
            off *= -255 / np.maximum(under[rows], 1).astype(np.float32)
        result[rows] = off.clip(0, 255)
    return Image.fromarray(result)
