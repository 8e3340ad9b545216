"""Preparing a picture from a file like the pictures that a network was trained on.

The rule is MNIST's (LeCun, Cortes and Burges, "The MNIST database of handwritten
digits"): the digit is scaled with anti-aliasing into a box of 20x20, keeping its aspect
ratio, and centered by mass in 28x28. EMNIST (Cohen et al., arXiv:1702.05373) describes
the steps from a scanned form.
"""

import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from nnx import files
from nnx.data.dataset import Array, Frame, checked_frame
from nnx.data.light import (
    evened,
    levels,
    light_on_dark,
    noise,
    roughness,
    smoothed,
)
from nnx.data.pixels import brightest_byte
from nnx.data.shapes import doubt
from nnx.errors import InputError, OutOfMemoryError

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM")
MAX_PIXELS, MAX_SIDE = 50_000_000, 65_535
MAX_BYTES = 1 << 28  # of a file
# Larger pictures (longer side in pixels) are first reduced by averaging squares: a file
# of a few hundred bytes may have fifty million pixels. Some modes must be converted.
LARGEST = 2048
AVERAGED = {"1": "L", "P": "RGBA", "I;16": "I"}
ACCEPTED = (
    "give a PNG, JPEG, BMP, GIF or PNM picture of "
    f"at most {MAX_PIXELS // 1_000_000} million pixels, {MAX_SIDE:,} a side"
)
# In levels of 255: a smaller contrast of paper and ink is noise or shade, not a digit.
MIN_CONTRAST = 16
# In levels of 255: without a digit, a rougher ground than this is noise, not blank.
NOISE = 64
# In levels of 255: visible pixels within this range are strokes of one pen.
ONE_SHADE = 64
# The digit's box holds the pixels above BOX_LEVEL, without BOX_TRIM of them on each
# side. For enlarged MNIST digits on grey paper with twelve specks of dust, a quarter of
# the accuracy remains without trimming, and all of it with trimming.
BOX_LEVEL = 255 / 5
BOX_TRIM = 0.002


class Picture(NamedTuple):
    """A picture prepared for a network: a light digit on a dark ground.

    pixels: (height, width), uint8 in [0, frame.maximum]; if frame.maximum is 1 or above
        255, float32 in [0, 1], like the data with such a frame
    steps: descriptions of the steps that prepared the picture, in order
    doubt: what it may be instead of one digit: "blank", "noise" or "two shapes"; None
        without doubt. `nnx.doubt` adds a network's reasons
    """

    pixels: Array
    steps: tuple[str, ...]
    doubt: str | None

    @property
    def blank(self) -> bool:
        """Whether no digit was found, so that every pixel is 0."""
        return not self.pixels.any()


def read(path: Path, frame: Frame) -> Picture:
    """Return the picture in a file, prepared to fit the frame.

    A picture of exactly the frame's size is only made grey and light on dark.

    Raises:
        InputError: the file is not a picture in an accepted format, is damaged or too
            large, or the frame has no box
        OutOfMemoryError: there is no memory for the picture
    """
    path = files.given(path, "a picture")
    frame = checked_frame(frame)
    if not frame.box:
        raise InputError(
            "a frame with a box of 0 is not for pictures: give the side in pixels "
            "that a digit is scaled to, as in nnx.Frame(28, 28, 255, 20)"
        )
    steps: list[str] = []
    grey = _grey(_decoded(path, steps), steps)
    is_its_size = grey.size == (frame.width, frame.height)
    if is_its_size:
        image = light_on_dark(grey, steps)
    else:
        image = evened(smoothed(grey, steps), steps)
    ground, ink = levels(image)
    if ink - ground < MIN_CONTRAST:
        empty = _of_frame(np.zeros((frame.height, frame.width)), frame)
        why = "noise" if max(roughness(grey), noise(image)) > NOISE else "blank"
        return Picture(empty, (*steps, f"{why}: no digit found"), why)
    if is_its_size:
        steps.append(f"already {image.width}x{image.height}: used as it is")
        digit, small = image, np.asarray(image) / 255
    else:
        digit = _cropped(_stretched(image, ground, ink, steps))
        small = _fitted(digit, image.size, frame, steps)
    pixels = _of_frame(small, frame)
    return Picture(pixels, tuple(steps), doubt(digit) if pixels.any() else "blank")


def _of_frame(light: Array, frame: Frame) -> Array:
    """Return pixels in [0, 1], rounded to the steps of a byte, in `Picture`'s form."""
    brightest = brightest_byte(frame.maximum)
    pixels = np.rint(light * brightest).astype(np.uint8)
    if brightest == frame.maximum:
        return pixels
    return pixels.astype(np.float32) / np.float32(brightest)


def _decoded(path: Path, steps: list[str]) -> Image.Image:
    """Return the first picture in the file, upright."""
    try:
        if kind := files.other(path):
            raise InputError(f"{path}: not a file, but {kind}; {ACCEPTED}")
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: over {MAX_BYTES >> 20} MiB; {ACCEPTED}")
        # Pillow warns about bombs, which are refused below, and about odd metadata.
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(path, formats=FORMATS) as image,
        ):
            many = image.width * image.height > MAX_PIXELS
            if many or max(image.size) > MAX_SIDE:  # before it is decoded
                size = f"{image.width}x{image.height} pixels"
                raise InputError(f"{path}: too large with {size}; {ACCEPTED}")
            image.load()
            if image.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9):
                steps.append("turned upright by its EXIF tag")
            return ImageOps.exif_transpose(_smaller(image, steps))
    except InputError:
        raise
    except MemoryError:
        raise OutOfMemoryError(f"{path}: out of memory: no room for it") from None
    except UnidentifiedImageError as error:
        files.refuse_packed(path)
        raise InputError(f"{path}: not a known kind of picture; {ACCEPTED}") from error
    except Image.DecompressionBombError as error:
        raise InputError(f"{path}: too large; {ACCEPTED}") from error
    # For broken files, decoders raise OSError, SyntaxError, ValueError, EOFError,
    # struct.error and others; Pillow has no common base class for them.
    except Exception as error:
        if reason := getattr(error, "strerror", None):  # of the system, not a decoder
            raise InputError(f"{path}: {reason}") from error
        raise InputError(f"{path}: damaged or cut short; {ACCEPTED}") from error


def _smaller(image: Image.Image, steps: list[str]) -> Image.Image:
    """Return the picture, reduced if a side has more than `LARGEST` pixels."""
    square = -(-max(image.size) // LARGEST)
    if square == 1:
        return image
    steps.append(f"{square}x{square} pixels averaged to one")
    if image.mode in AVERAGED:
        image = image.convert(AVERAGED[image.mode])
    return image.reduce(square)


def _grey(image: Image.Image, steps: list[str]) -> Image.Image:
    """Return the picture in 256 levels of grey, without transparency."""
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
            steps.append("color made gray")
    return image.convert("L")


def _opaque(image: Image.Image, steps: list[str]) -> Image.Image:
    """Return an RGBA picture on a ground against which its drawing is visible.

    If all visible pixels have similar shades, they are the strokes, and get the
    opposite ground. Otherwise both ink and paper are visible, and transparent pixels
    become paper.
    """
    alpha = image.getchannel("A")
    if alpha.getextrema() == (255, 255):
        return image.convert("RGB")
    opacity = np.asarray(alpha)
    # ">=", so that a fully transparent picture also has pixels to examine.
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


def _stretched(
    image: Image.Image, ground: float, ink: float, steps: list[str]
) -> Image.Image:
    """Return the picture with its ground at 0 and its ink at 255."""
    if (ground, ink) != (0, 255):
        steps.append(f"contrast stretched from {ground:.0f}-{ink:.0f} to 0-255")
    greys = (np.arange(256) - ground) * (255 / (ink - ground))
    return image.point(np.rint(greys.clip(0, 255)).tolist())


def _cropped(image: Image.Image) -> Image.Image:
    """Return the part of the picture with the ink, ignoring a few specks."""
    lit = np.asarray(image) > BOX_LEVEL
    left, right = _span(lit.sum(axis=0))
    top, bottom = _span(lit.sum(axis=1))
    return image.crop((left, top, right, bottom))


def _fitted(
    digit: Image.Image, of: tuple[int, int], frame: Frame, steps: list[str]
) -> Array:
    """Return the digit scaled into the frame's box and centered by mass.

    of: the size of the picture that it was cropped from
    returns: (frame.height, frame.width), floats in [0, 1]
    """
    scale = frame.box / max(digit.size)
    width, height = (max(1, round(side * scale)) for side in digit.size)
    # Scaled as floats: otherwise a hairline in a large picture is rounded away.
    small = np.asarray(
        digit.convert("F").resize((width, height), Image.Resampling.BICUBIC)
    )
    small = small.clip(0, 255)
    pixels = np.zeros((frame.height, frame.width))
    top = _start(small.sum(axis=1), frame.height, frame.box)
    left = _start(small.sum(axis=0), frame.width, frame.box)
    pixels[top : top + height, left : left + width] = small / small.max()
    size = f"{of[0]}x{of[1]}"
    steps.append(
        f"scaled from {digit.width}x{digit.height} (of {size}) into {width}x{height}, "
        f"centred by mass in {frame.width}x{frame.height}"
    )
    return pixels


def _span(counts: Array) -> tuple[int, int]:
    """Return the first line with ink and the line after the last, ignoring specks.

    counts: the number of inked pixels in each line
    """
    share = counts.cumsum() / counts.sum()
    return int(np.argmax(share > BOX_TRIM)), int(np.argmax(share >= 1 - BOX_TRIM)) + 1


def _start(mass: Array, room: int, box: int) -> int:
    """Return the index of the first line that puts the center of mass in the middle.

    In every picture of MNIST the center of mass is at index 14 of 28, rounded half up.
    If the box leaves no margin, as in UCI's 8x8 digits, it is in the middle, 3.5 of 8.
    """
    middle = room / 2 if box < room else (room - 1) / 2
    centre = mass @ np.arange(mass.size) / mass.sum()
    return int(np.clip(np.floor(middle - centre + 0.5), 0, room - mass.size))
