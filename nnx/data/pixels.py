"""One rule for the range of pixels, so that no pixels are scaled twice."""

from typing import Any

import numpy as np

from nnx.data.dataset import Array, Dataset, RawArray
from nnx.data.rows import extremes, in_file, made, row_blocks
from nnx.data.tabular import NoPicturesError
from nnx.errors import InputError

# Tolerance for multiples of 1/255 written with four decimals.
_ROUNDING = 1e-4
_OF_SCALE = (
    "the brightest pixel's value, as in scale=255; or "
    'scale="standard" for columns, or scale="none" to take it as it is'
)


def as_pixels(parts: list[RawArray]) -> tuple[list[Array], int, tuple[str, ...]]:
    """Return images in the form of a data set, their brightest value, and notes.

    All parts are examined together, so the same rule applies to training and testing.

    parts: each (n, features), real numbers in [0, 255]
    returns: images (n, features) uint8 or float32, maximum 255 or 1, notes

    Raises:
        InputError: a value is NaN, infinite, or outside [0, 255]; one part has
            fractions in [0, 1], and another has values above 1
    """
    surveys = [_survey(part) for part in parts]
    values = [part.values for part in parts]
    brightest = max(high for high, _ in surveys)
    if all(whole for _, whole in surveys):
        images = [_typed(v, np.uint8) for v in values]
        if brightest == 1:
            return images, 1, ("pixels are 0 or 1: binary images",)
        return images, 255, ()
    if brightest > 1:
        for part, (high, whole) in zip(parts, surveys, strict=True):
            if high <= 1 and not whole:
                raise InputError(
                    f"{part.source}: pixels from 0 to 1, beside others up to "
                    f"{brightest:g}: give both parts on one scale"
                )
        images = [made(v, _divided, np.float32) for v in values]
        return images, 1, ("pixels are not whole numbers: divided by 255",)
    if all(_multiples(v) for v in values):
        images = [made(v, _as_bytes, np.uint8) for v in values]
        return images, 255, ("pixels are already in [0, 1]: kept as bytes of 1/255",)
    images = [_typed(v, np.float32) for v in values]
    return images, 1, ("pixels are already in [0, 1]: not scaled",)


def brightest_byte(maximum: int) -> int:
    """Return the value of a fully lit pixel when a picture is made in bytes.

    It is 255 if the network was trained on floats or on numbers too large for a byte:
    a picture's pixels are then its bytes / 255.

    maximum: the value of a fully lit pixel in the training data
    """
    return maximum if 1 < maximum <= 255 else 255


def _typed(values: Array, dtype: Any) -> Array:
    if in_file(values) and values.dtype == dtype:
        return values
    return made(values, lambda rows: np.require(rows, dtype, "C"), dtype)


def _divided(values: Array) -> Array:
    return np.require(values, np.float32, "C") / np.float32(255)


def require_known(part: RawArray, advice: str = _OF_SCALE) -> None:
    """Refuse images whose dtype and range do not determine their scale.

    Accepted are bytes, and floats in [0, 1].

    Raises:
        InputError: the images are of another kind, or a value is not finite
    """
    values = part.values
    if values.dtype == np.uint8:
        return
    low, high = float(values.min()), float(values.max())
    _refuse(part, ~np.isfinite(values), "is not a finite number")
    if values.dtype.kind != "f" or low < 0 or high > 1:
        raise InputError(
            f"{part.source} is {values.dtype} from {low:g} to {high:g}, of unknown "
            f"scale: give {advice}"
        )


def divided(part: RawArray, brightest: int) -> Array:
    """Return images of a known scale in the form of a data set.

    Raises:
        InputError: a value is outside [0, brightest]
    """
    values = part.values
    _refuse(part, ~((values >= 0) & (values <= brightest)), f"is outside 0-{brightest}")
    if brightest <= 255 and (
        values.dtype.kind != "f" or (values == np.rint(values)).all()
    ):
        return np.require(values, np.uint8, "C")
    return np.require(values, np.float32, "C") / np.float32(brightest)


def _refuse(part: RawArray, bad: Array, why: str) -> None:
    """Refuse the first bad value, naming its place; bad: (n, features), bool."""
    if bad.any():
        row, column = map(int, np.unravel_index(bad.argmax(), bad.shape))
        value = part.values[row, column]
        raise NoPicturesError(f"{part.place(row, column)}: pixel value {value:g} {why}")


def on_scale(data: Dataset, maximum: int) -> Dataset:
    """Return a file's pictures on the scale that a network was trained on.

    A file does not state its brightest pixel, so the rules are those of `as_trained`:
    if no pixel is above the network's maximum, that is the scale. Bytes become floats
    for a network trained on floats, and floats stay floats for any network.

    maximum: the value of a fully lit pixel in the training data
    """
    own = data.frame.maximum
    if data.columns or own == maximum or own not in (1, 255):
        return data
    if 1 in (own, maximum):
        data = _as_floats(data, own)
    elif max(extremes(part.images)[1] for part in data.parts) > maximum:
        return data
    return data._replace(frame=data.frame._replace(maximum=maximum))


def _as_floats(data: Dataset, own: int) -> Dataset:
    """Return data as floats in [0, 1].

    data: bytes up to 255, zeros and ones, or floats
    own: the value of a fully lit pixel in the data
    """

    def float_(rows: Array) -> Array:
        return np.require(rows, np.float32, "C") / np.float32(own)

    train, test = (
        part._replace(images=made(part.images, float_, np.float32))
        for part in (data.train, data.test)
    )
    return data._replace(train=train, test=test)


def as_trained(part: RawArray, maximum: int, divisor: int) -> tuple[Array, int]:
    """Return a part of a set of images for a network, and the divisor of its pixels.

    The parts of a set are passed one by one; the divisor found in one part applies to
    the following parts.

    part: (n, features), real numbers
    maximum: the value of a fully lit pixel in the training data
    divisor: of the earlier parts; 0: all their pixels were 0
    returns: images (n, features) uint8 in [0, maximum], or float32 in [0, 1]; divisor

    Raises:
        InputError: a value is NaN, infinite, outside the range of pixels, or above 1
            after parts in [0, 1]
    """
    top = 255 if maximum == 1 else maximum
    high, whole = _survey(part, top)
    if divisor == 1:
        _refuse(part, part.values > 1, "is above 1, unlike all in the rows before")
    if high > 0:
        divisor = divisor or (top if high > 1 else 1)
    if whole and divisor in (0, maximum) and maximum <= 255:
        return np.require(part.values, np.uint8, "C"), divisor
    return np.require(part.values, np.float32, "C") / np.float32(divisor or 1), divisor


def _survey(part: RawArray, maximum: int = 255) -> tuple[float, bool]:
    """Return the brightest value, and whether all values are whole numbers.

    For bytes with a value above 1, the brightest is taken as 255. Values outside [0,
    maximum] are refused.
    """
    values = part.values
    if values.dtype == np.uint8 and maximum >= 255:
        # In range by its type; one bright pixel settles it.
        bright = any(block.max() > 1 for _, block in row_blocks(values))
        return (255.0 if bright else float(values.max())), True
    high, whole = 0.0, True
    for start, block in row_blocks(values):
        inside = (block >= 0) & (block <= maximum)  # false for NaN
        if not inside.all():
            row, column = map(int, np.unravel_index(inside.argmin(), inside.shape))
            value = block[row, column]
            finite = np.isfinite(value)
            reason = f"is outside 0-{maximum}" if finite else "is not a finite number"
            place = part.place(start + row, column)
            raise NoPicturesError(f"{place}: pixel value {value:g} {reason}")
        high = max(high, float(block.max()))
        whole = whole and bool((block == np.rint(block)).all())
    return high, whole


def _multiples(values: Array) -> bool:
    """Return whether all values are multiples of 1/255, up to rounding."""
    return all(
        (np.abs(block - np.rint(block * 255) / 255) <= _ROUNDING).all()
        for _, block in row_blocks(values)
    )


def _as_bytes(values: Array) -> Array:
    pixels = np.empty(values.shape, np.uint8)
    for start, block in row_blocks(values):
        pixels[start : start + len(block)] = np.rint(block * 255)
    return pixels
