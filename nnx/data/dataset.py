"""A labelled set of images on the host, as a file gave it and as it is trained on.

And the checks of one that is made by hand.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from nnx.errors import InputError

# Static types for arrays differ per library; shapes live in the docstrings.
Array: TypeAlias = Any


# The source of a data set that no file holds.
IN_MEMORY = "in memory"


class Frame(NamedTuple):
    """How a flat row of pixels is a picture.

    height, width: in pixels
    maximum: the value of a fully lit pixel (255; 16 for `digits`; 1 for floats)
    box: the side in pixels of the square that the digit itself is scaled into; 0
        where a row is no picture
    """

    height: int
    width: int
    maximum: int
    box: int


class Split(NamedTuple):
    """Images and their labels.

    images: (n, features), uint8 in [0, frame.maximum], or float32 in [0, 1]
    labels: (n,), int64 in [0, classes)
    """

    images: Array
    labels: Array


class Dataset(NamedTuple):
    """What a network is trained on, and what it is tested on.

    classes: the name of each class, in the order of the labels
    frame: how a row of features is a picture
    notes: remarks on what was decided while loading, a line each
    source, data_dir: what `nnx.load` was given, with paths made absolute
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    frame: Frame
    notes: tuple[str, ...] = ()
    source: str = IN_MEMORY
    data_dir: str = ""


class RawArray(NamedTuple):
    """An array as a file gave it, and how to point at what is wrong in it.

    source: where it came from, in words
    place: says in which file, and where in it, the value at (row, column) stands
    """

    values: Array
    source: str
    place: Callable[[int, int], str]


class RawSplit(NamedTuple):
    """Images and labels that belong together, before any check.

    images: (n, features), any real numbers
    labels: (n,) or (n, 1) class numbers, or (n, classes) one-hot
    """

    images: RawArray
    labels: RawArray


def frame_of(features: int, size: tuple[int, int] | None, maximum: int) -> Frame:
    """Return how a row of features is a picture.

    size: (height, width), or None to take a square number of features as a square
    """
    side = math.isqrt(features)
    if size is None and side * side != features:
        return Frame(1, features, maximum, 0)
    height, width = size or (side, side)
    side = min(height, width)
    # MNIST scales a digit into 20 of its 28 pixels; tiny pictures have no margin.
    return Frame(height, width, maximum, side * 20 // 28 if side >= 16 else side)


def check_images(images: Array, features: int) -> None:
    """Refuse images that are not one row or more of so many finite numbers."""
    if images.ndim != 2 or len(images) == 0 or images.shape[1] != features:
        raise InputError(
            f"expected images of shape (n, {features}), got {images.shape}"
        )
    kind = images.dtype.kind
    finite = kind == "f" and np.isfinite([images.min(), images.max()]).all()
    if kind not in "ui" and not finite:
        raise InputError("images must be finite numbers")


def check_labels(labels: Array, images: int, classes: int) -> None:
    """Refuse labels that are not one integer in [0, classes) for each image.

    The last check before a device: there, one that is too high may read as another.
    """
    if labels.dtype.kind not in "iu" or labels.shape != (images,):
        raise InputError(
            f"expected an integer label for each of {images} images, got "
            f"{labels.dtype} labels of shape {labels.shape}"
        )
    bad = (labels < 0) | (labels >= classes)
    if bad.any():
        row = int(bad.argmax())
        raise InputError(
            f"image {row} has label {labels[row]}, expected 0 to {classes - 1}"
        )
