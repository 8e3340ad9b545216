"""Sixty pictures drawn by code: digits in bad light, and things that are no digits."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

HEIGHT, WIDTH = 320, 280
LETTERS = "AEFHKMNRTWXd"
# A 0, 1 or 8 on its side is one still, or a line; a 6 or 9 may be another digit.
TOLD_ON_ITS_SIDE = 2, 3, 4, 5, 7, 2


class Drawn(NamedTuple):
    """A picture, what it shows in words, and its label; None where it is no digit."""

    what: str
    image: Image.Image
    label: int | None


def sixty(images: np.ndarray, labels: np.ndarray) -> Iterator[Drawn]:
    """Yield sixty pictures, the same for the same digits.

    images: (n, height, width), floats in [0, 1], light on dark; labels: (n,)
    """
    rng = np.random.default_rng(26)

    def digit(only: int | None = None) -> tuple[Image.Image, int]:
        own = np.flatnonzero(labels == only) if only is not None else len(labels)
        i = int(rng.choice(own))
        margin = images.shape[1] // 8
        ink = Image.fromarray(np.uint8(255 * np.pad(images[i], margin)))
        return ink.resize((200, 200), Image.Resampling.BICUBIC), int(labels[i])

    for what, light in lights().items():
        for _ in range(4):
            ink, label = digit()
            yield Drawn(what, page(ink, light, rng), label)
    for angle in (-15, -10, 10, 15):
        ink, label = digit()
        turned = ink.rotate(angle, Image.Resampling.BICUBIC)
        yield Drawn(f"turned by {angle}", page(turned, 230, rng), label)
    for sigma in (10, 15, 20, 25):
        ink, label = digit()
        yield Drawn(f"noise of {sigma}", page(ink, 200, rng, sigma), label)
    for _ in range(8):
        pair = Image.new("L", (400, 200))
        for x in 0, 200:
            pair.paste(digit()[0], (x, 0))
        yield Drawn("two digits", page(pair.resize((260, 130)), 220, rng), None)
    for letter in LETTERS:
        yield Drawn(f"letter {letter}", page(written(letter), 225, rng), None)
    for only in TOLD_ON_ITS_SIDE:
        ink, label = digit(only)
        yield Drawn(f"{label} on its side", page(ink.rotate(90), 225, rng), None)
    empty = Image.new("L", (200, 200))
    for what, light in lights().items():
        yield Drawn(f"blank, {what}", page(empty, light, rng), None)
    yield Drawn("blank, even", page(empty, 210, rng), None)
    yield Drawn("blank, noise of 20", page(empty, 200, rng, 20), None)
    for cells in (8, 20, 60, 280):
        greys = rng.integers(0, 256, (cells, cells), np.uint8)
        size = (WIDTH, WIDTH)
        yield Drawn(f"noise, {cells} cells", Image.fromarray(greys).resize(size), None)


def lights() -> dict[str, np.ndarray]:
    """Return the light on pages, (HEIGHT, WIDTH) each."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    across, down = x / WIDTH, y / HEIGHT
    from_middle = (2 * across - 1) ** 2 + (2 * down - 1) ** 2
    return {
        "gradient of 40": 230 - 40 * across,
        "gradient of 130": 230 - 65 * across - 65 * down,
        "soft shadow": 215 - 100 / (1 + np.exp(-(x + y / 2 - 250) / 15)),
        "vignette": 225 * (1 - 0.25 * from_middle),
    }


def page(
    ink: Image.Image,
    light: np.ndarray | float,
    rng: np.random.Generator,
    sigma: float = 3,
) -> Image.Image:
    """Return a page in this light on which there is ink, of a camera's noise."""
    drawn = Image.new("L", (WIDTH, HEIGHT))
    drawn.paste(ink, ((WIDTH - ink.width) // 2, (HEIGHT - ink.height) // 2))
    grey = light * (1 - 0.75 * np.asarray(drawn) / 255)
    grey = grey + rng.normal(0, sigma, grey.shape)
    return Image.fromarray(np.uint8(grey.clip(0, 255)))


def written(letter: str) -> Image.Image:
    """Return a letter in strokes as thick as a pen's, white on black."""
    image = Image.new("L", (200, 200))
    font = ImageFont.load_default(150)
    pen = ImageDraw.Draw(image)
    pen.text((100, 100), letter, 255, font, anchor="mm", stroke_width=3)
    return image
