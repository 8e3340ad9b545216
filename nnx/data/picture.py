"""A picture from a file, made like the pictures that a network was trained on.

The rule is MNIST's (LeCun, Cortes and Burges, "The MNIST database of handwritten
digits"): the digit is scaled with anti-aliasing into a box of 20x20, keeping its aspect
ratio, and placed in 28x28 by its centre of mass. EMNIST (Cohen et al., arXiv
1702.05373) describes the way there from a scanned form.
"""

import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from nnx import files
from nnx.data.dataset import Array, Frame, checked_frame
from nnx.errors import InputError, OutOfMemoryError

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM")
MAX_PIXELS = 50_000_000
MAX_BYTES = 1 << 28  # of a file
ACCEPTED = (
    "give a PNG, JPEG, BMP, GIF or PNM picture of "
    f"at most {MAX_PIXELS // 1_000_000} million pixels"
)
# Of 255 levels: less between paper and ink is no digit, but noise or shade.
MIN_CONTRAST = 16
# Of 255 levels: seen colours closer than this are the strokes of one pen.
ONE_SHADE = 64
# The digit's box holds what has a fifth of the full contrast, but for this share on
# each side: on enlarged MNIST digits on grey paper, twelve specks of dust leave a
# quarter of the accuracy without that, and all of it with it.
BOX_LEVEL = 255 / 5
BOX_TRIM = 0.002


class Picture(NamedTuple):
    """A picture as a network wants it: a light digit on a dark ground.

    pixels: (height, width), uint8 in [0, frame.maximum]
    steps: what was done to the picture in the file, in words and in order
    blank: no digit was found, and every pixel is 0
    """

    pixels: Array
    steps: tuple[str, ...]
    blank: bool


def read(path: Path, frame: Frame) -> Picture:
    """Return the picture in a file, made a picture of the frame.

    A picture of exactly the frame's size is only made grey, and light on dark.

    Raises:
        InputError: files that are no picture of the accepted formats, damaged or too
            large
    """
    path = files.given(path, "a picture")
    frame = checked_frame(frame)
    steps: list[str] = []
    image = _light_on_dark(_grey(_decoded(path, steps), steps), steps)
    ground, ink = _levels(image)
    if ink - ground < MIN_CONTRAST:
        steps.append("blank: no digit found")
        pixels = np.zeros((frame.height, frame.width))
    elif image.size == (frame.width, frame.height):
        steps.append(f"already {image.width}x{image.height}: taken as it is")
        pixels = np.asarray(image) / 255
    else:
        image = _stretched(image, ground, ink, steps)
        pixels = _fitted(image, frame, steps)
    pixels = np.rint(pixels * frame.maximum).astype(np.uint8)
    return Picture(pixels, tuple(steps), not pixels.any())


def _decoded(path: Path, steps: list[str]) -> Image.Image:
    """Return the first picture in the file, upright."""
    try:
        if there := files.other(path):
            raise InputError(f"{path}: not a file, but {there}; {ACCEPTED}")
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: over {MAX_BYTES >> 20} MiB; {ACCEPTED}")
        # Pillow warns of bombs, which are refused here, and of odd metadata.
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(path, formats=FORMATS) as image,
        ):
            if image.width * image.height > MAX_PIXELS:  # before it is decoded
                size = f"{image.width}x{image.height} pixels"
                raise InputError(f"{path}: too large with {size}; {ACCEPTED}")
            image.load()
            if image.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9):
                steps.append("turned upright by its EXIF tag")
            return ImageOps.exif_transpose(image)
    except InputError:
        raise
    except MemoryError:
        raise OutOfMemoryError(f"{path}: out of memory: no room for it") from None
    except UnidentifiedImageError as error:
        raise InputError(f"{path}: not a known kind of picture; {ACCEPTED}") from error
    except Image.DecompressionBombError as error:
        raise InputError(f"{path}: too large; {ACCEPTED}") from error
    # Decoders of broken files raise OSError, SyntaxError, ValueError, EOFError,
    # struct.error and more; Pillow gives them no common root.
    except Exception as error:
        why = getattr(error, "strerror", None) or "damaged or cut short"
        raise InputError(f"{path}: {why}; {ACCEPTED}") from error


def _grey(image: Image.Image, steps: list[str]) -> Image.Image:
    """Return the picture in 256 levels of grey, nothing of it transparent."""
    if image.mode[0] in "IF":
        steps.append("more than 8 bits scaled to 8 by the range in use")
        levels = np.nan_to_num(np.asarray(image, np.float64), posinf=0, neginf=0)
        levels -= levels.min()
        return Image.fromarray(np.uint8(levels * (255 / (levels.max() or 1))))
    if image.has_transparency_data:
        image = _opaque(image.convert("RGBA"), steps)
    if image.mode not in ("1", "L"):
        image = image.convert("RGB")
        red, green, blue = image.split()
        if not red == green == blue:
            steps.append("colour made grey")
    return image.convert("L")


def _opaque(image: Image.Image, steps: list[str]) -> Image.Image:
    """Return an RGBA picture laid on a ground that its drawing is seen on.

    Strokes of one shade are themselves the drawing, and want the opposite ground;
    where both ink and paper are seen, what is transparent is more of the paper.
    """
    alpha = image.getchannel("A")
    if alpha.getextrema() == (255, 255):
        return image.convert("RGB")
    opacity = np.asarray(alpha)
    # At least, so that a picture of which nothing is seen has pixels to look at.
    seen = np.asarray(image.convert("L"))[opacity >= opacity.max() / 2]
    low, shade, high = np.percentile(seen, (1, 50, 99))
    ground = int(shade)
    if high - low < ONE_SHADE:
        ground = 0 if shade > 127 else 255
    name = {0: "black", 255: "white"}.get(ground, "the shade of its paper")
    steps.append(f"transparency laid on {name}")
    paper = Image.new("RGB", image.size, (ground,) * 3)
    paper.paste(image, mask=alpha)
    return paper


def _light_on_dark(image: Image.Image, steps: list[str]) -> Image.Image:
    """Return the picture, inverted where most of its border is of the lighter kind."""
    if np.median(_border(image)) <= _otsu(image):
        return image
    steps.append("dark on light: inverted")
    return ImageOps.invert(image)


def _border(image: Image.Image) -> Array:
    """Return the outermost pixels: (2 * height + 2 * width,), uint8."""
    rows = np.asarray(image)
    return np.concatenate((rows[0], rows[-1], rows[:, 0], rows[:, -1]))


def _otsu(image: Image.Image) -> float:
    """Return the level that best parts the greys in two, by their variances.

    N. Otsu, "A threshold selection method from gray-level histograms", 1979.
    """
    share = np.array(image.histogram()) / (image.width * image.height)
    below, mean = share.cumsum()[:-1], (share * np.arange(256)).cumsum()
    apart = below * (1 - below)
    between = (mean[-1] * below - mean[:-1]) ** 2
    between /= np.where(apart > 1e-12, apart, np.inf)
    # Any level between two shades parts them as well: the middle one is the safest.
    return float(np.flatnonzero(between >= between.max() * (1 - 1e-9)).mean())


def _levels(image: Image.Image) -> tuple[float, float]:
    """Return the grey at which the ground ends, and the grey of the ink.

    The ground ends above most of the border's noise: at its median, and three times
    the median distance from that, which are two standard deviations of normal noise.
    """
    border = _border(image).astype(np.float64)
    middle = np.median(border)
    ground = middle + 3 * np.median(abs(border - middle))
    grey = np.asarray(image)
    ink = grey[grey > _otsu(image)]
    return float(ground), float(np.percentile(ink, 75) if ink.size else ground)


def _stretched(
    image: Image.Image, ground: float, ink: float, steps: list[str]
) -> Image.Image:
    """Return the picture with its ground at 0 and its ink at 255."""
    if (ground, ink) != (0, 255):
        steps.append(f"contrast stretched from {ground:.0f}-{ink:.0f} to 0-255")
    levels = (np.arange(256) - ground) * (255 / (ink - ground))
    return image.point(np.rint(levels.clip(0, 255)).tolist())


def _fitted(image: Image.Image, frame: Frame, steps: list[str]) -> Array:
    """Return the digit scaled into the frame's box and centred by mass.

    returns: (frame.height, frame.width), floats in [0, 1]
    """
    lit = np.asarray(image) > BOX_LEVEL
    left, right = _span(lit.sum(axis=0))
    top, bottom = _span(lit.sum(axis=1))
    digit = image.crop((left, top, right, bottom))
    scale = frame.box / max(digit.size)
    width, height = (max(1, round(side * scale)) for side in digit.size)
    # As floats, or a hairline in a large picture would be rounded away.
    small = np.asarray(
        digit.convert("F").resize((width, height), Image.Resampling.BICUBIC)
    )
    small = small.clip(0, 255)
    pixels = np.zeros((frame.height, frame.width))
    top = _start(small.sum(axis=1), frame.height, frame.box)
    left = _start(small.sum(axis=0), frame.width, frame.box)
    pixels[top : top + height, left : left + width] = small / small.max()
    size = f"{image.width}x{image.height}"
    steps.append(
        f"scaled from {digit.width}x{digit.height} (of {size}) into {width}x{height}, "
        f"centred by mass in {frame.width}x{frame.height}"
    )
    return pixels


def _span(counts: Array) -> tuple[int, int]:
    """Return where the ink, but for a few specks, begins and ends in these lines.

    counts: the inked pixels of each line
    """
    share = counts.cumsum() / counts.sum()
    return int(np.argmax(share > BOX_TRIM)), int(np.argmax(share >= 1 - BOX_TRIM)) + 1


def _start(mass: Array, room: int, box: int) -> int:
    """Return where lines of these masses begin, for their centre to be the frame's.

    In every picture of MNIST that is index 14 of 28, rounded half up. Where the box
    leaves no margin, as in the 8x8 digits of UCI, it is the middle, 3.5 of 8.
    """
    middle = room / 2 if box < room else (room - 1) / 2
    centre = mass @ np.arange(mass.size) / mass.sum()
    return int(np.clip(np.floor(middle - centre + 0.5), 0, room - mass.size))
