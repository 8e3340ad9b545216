"""A labelled set of images on the host, as a file gave it and as it is trained on.

And the checks of one that is made by hand.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from nnx.data.rows import Rows, extremes
from nnx.errors import InputError, in_few_words

# Static types for arrays differ per library; shapes live in the docstrings.
Array: TypeAlias = Any


# The source of a data set that no file holds.
IN_MEMORY = "in memory"
# One class of many, any of several labels, or numbers.
TASKS = "classification", "multilabel", "regression"


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


class Column(NamedTuple):
    """How a table's column becomes features, as its training rows gave it.

    A numeric one is one feature, (value - mean) / scale; one of text has a feature for
    each of its categories, which is 1 where the row says so and 0 elsewhere.

    name: in the table's header
    mean, scale: of a numeric column; 0 and 1 leave it as it is
    fill: what stands for an empty field: a number, or a category; None refuses it
    categories: of a column of text; empty for a numeric one
    """

    name: str
    mean: float = 0.0
    scale: float = 1.0
    fill: float | str | None = None
    categories: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """How many features it is."""
        return len(self.categories) or 1


class Target(NamedTuple):
    """A number that a network predicts: it gives (value - mean) / scale."""

    name: str
    mean: float = 0.0
    scale: float = 1.0


def in_units(values: Array, targets: Sequence[Target]) -> Array:
    """Return what a network gives, or learns, in the targets' own units.

    values: (n, targets)
    returns: (n, targets), float64
    """
    mean, scale = (
        np.array([getattr(target, of) for target in targets])
        for of in ("mean", "scale")
    )
    return np.asarray(values, np.float64) * scale + mean


class Split(NamedTuple):
    """Images, or a table's rows, and what they are.

    images: (n, features), uint8 in [0, frame.maximum], or float32 in [0, 1]; of a
        table, floating; an array, or `Rows`
    labels: (n,), int64 in [0, classes); multilabel (n, classes), uint8, 0 or 1;
        regression (n, targets), floating, scaled as the data set's targets say
    """

    images: Array
    labels: Array


class TableOptions(NamedTuple):
    """How a table becomes a data set; each as the setting of its name.

    target, drop, categorical: names of columns
    test_data, validation_data: paths of other tables; "" is none
    """

    target: tuple[str, ...] = ()
    task: str = "auto"
    drop: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    missing: str = "refuse"
    standardize: str = "both"
    test_data: str = ""
    validation_data: str = ""


class Dataset(NamedTuple):
    """What a network is trained on, and what it is tested on.

    classes: the name of each class, or label, in the order of the labels; none of a
        regression
    frame: how a row of features is a picture
    notes: remarks on what was decided while loading, a line each
    source, data_dir: what `nnx.load` was given, with paths made absolute
    task: one of `TASKS`
    columns: how a table's columns became the features; none, they are pixels
    targets: of a regression, what it predicts
    validation: what is chosen by, if it was given; else training images are held out
    options: of a table, what `nnx.load` was told of it, with paths made absolute
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    frame: Frame
    notes: tuple[str, ...] = ()
    source: str = IN_MEMORY
    data_dir: str = ""
    task: str = "classification"
    columns: tuple[Column, ...] = ()
    targets: tuple[Target, ...] = ()
    validation: Split | None = None
    options: TableOptions = TableOptions()

    @property
    def parts(self) -> tuple[Split, ...]:
        """All that there are: to train on, to test on, and to choose by."""
        given = () if self.validation is None else (self.validation,)
        return (self.train, self.test, *given)

    @property
    def outputs(self) -> int:
        """How many outputs a network of it has."""
        return len(self.targets or self.classes)


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


def as_array(given: Any, what: str = "images") -> Array:
    """Return what was given as an array, refused where it cannot be one."""
    try:
        return given if isinstance(given, Rows) else np.asarray(given)
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{what} cannot be made an array: {reason}") from None


def checked_frame(frame: Frame, features: int | None = None) -> Frame:
    """Return a frame in Python's integers; refused: no picture of so many pixels.

    features: None is as many as the frame says
    """
    if not isinstance(frame, Frame):
        raise InputError(f"expected a nnx.Frame, not a {type(frame).__name__}")
    frame = Frame(*(int(n) if isinstance(n, np.integer) else n for n in frame))
    height, width, maximum, box = frame
    if (
        not all(type(number) is int for number in frame)
        or height * width != (height * width if features is None else features)
        or min(height, width, maximum) < 1
        or maximum >= 2**31
        or not 0 <= box <= min(height, width)
    ):
        pixels = "" if features is None else f" with height x width = {features}"
        raise InputError(
            f"frame must be whole numbers{pixels}, a maximum of 1 or more, and a box "
            f"that fits into it, not {in_few_words(tuple(frame))}"
        )
    return frame


def check_images(images: Array, features: int) -> None:
    """Refuse images that are not one row or more of so many finite numbers."""
    if images.ndim != 2 or len(images) == 0 or images.shape[1] != features:
        raise InputError(
            f"expected images of shape (n, {features}), got {images.shape}"
        )
    kind = images.dtype.kind
    finite = kind == "f" and np.isfinite(extremes(images)).all()
    if kind not in "ui" and not finite:
        raise InputError("images must be finite numbers")


# How far from [0, 1] rounding may take a float.
_ROUNDING = 1e-3


def check_range(images: Array, columns: Sequence[Column], source: str = "") -> None:
    """Refuse floats that are neither in [0, 1] nor a table's: their scale is not known.

    images: that `check_images` lets through
    columns: a table's, whose features may be any numbers
    source: words to begin with
    """
    if columns or images.dtype.kind != "f":
        return
    low, high = extremes(images)
    if low < -_ROUNDING or high > 1.0 + _ROUNDING:
        raise InputError(
            f"{source}floats are pixels in [0, 1], and these are from {low:g} to "
            f"{high:g}: divide them by the brightest pixel's value, or say what they "
            'are, as in nnx.dataset(x, y, scale=255) or scale="standard"'
        )


def check_labels(labels: Array, images: int, data: Dataset) -> None:
    """Refuse labels that are not those of so many images of the data set's task.

    The last check before a device: there, one that is too high may read as another.
    """
    if data.task == "classification":
        check_classes(labels, images, len(data.classes))
        return
    if labels.shape != (images, data.outputs) or labels.dtype.kind not in "fiu":
        raise InputError(
            f"expected numbers of shape ({images}, {data.outputs}) to learn, got "
            f"{labels.dtype} of shape {labels.shape}"
        )
    bad = ~np.isfinite(labels)
    if data.task == "multilabel":
        bad |= (labels != 0) & (labels != 1)
    if bad.any():
        row, column = map(int, np.unravel_index(bad.argmax(), bad.shape))
        name = data.targets[column].name if data.targets else data.classes[column]
        allowed = "0 or 1" if data.task == "multilabel" else "a finite number"
        raise InputError(
            f"row {row} has {labels[row, column]} as {name}, expected {allowed}"
        )


def check_classes(labels: Array, images: int, classes: int) -> None:
    """Refuse labels that are not one integer in [0, classes) for each image."""
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
