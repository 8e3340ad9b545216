"""Data sets on the host, before and after checking, and checks of handmade ones."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from nnx.data.rows import extremes
from nnx.errors import InputError, in_few_words

# Each library has its own array type; docstrings give the shapes.
Array: TypeAlias = Any

# The source of a data set that is not from a file.
IN_MEMORY = "in memory"
_PARTS = "train", "test", "validation"


class Frame(NamedTuple):
    """How a flat row of pixels forms a picture.

    height, width: in pixels
    maximum: the value of a fully lit pixel (255; 16 for `digits`; 1 for floats)
    box: the side in pixels of the square that the digit itself is scaled into; 0 if a
        row is not a picture
    """

    height: int
    width: int
    maximum: int
    box: int


class Column(NamedTuple):
    """How a table's column becomes features, determined from the training rows.

    A numeric column is one feature, (value - mean) / scale. A column of text has a
    feature for each category, which is 1 in rows of that category and otherwise 0.

    name: in the table's header
    mean, scale: of a numeric column; 0 and 1 leave it unchanged
    fill: replaces an empty field: a number, or a category; None: refuse empty fields
    categories: of a column of text; empty for a numeric one
    """

    name: str
    mean: float = 0.0
    scale: float = 1.0
    fill: float | str | None = None
    categories: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Number of features."""
        return len(self.categories) or 1


class Target(NamedTuple):
    """A number to predict; the network's output is (value - mean) / scale."""

    name: str
    mean: float = 0.0
    scale: float = 1.0


def units(targets: Sequence[Target]) -> tuple[Array, Array]:
    """Return the targets' means and scales, both (targets,) float64."""
    return np.array([t.mean for t in targets]), np.array([t.scale for t in targets])


def in_units(values: Array, targets: Sequence[Target]) -> Array:
    """Return a network's outputs, or scaled targets, in the targets' units.

    values: (n, targets)
    returns: (n, targets), float64
    """
    mean, scale = units(targets)
    return np.asarray(values, np.float64) * scale + mean


class Split(NamedTuple):
    """Images, or a table's rows, and their labels.

    images: (n, features), uint8 in [0, frame.maximum], or float32 in [0, 1]; for a
        table floating; an array, or `Rows`
    labels: (n,), int64 in [0, classes); for multilabel (n, classes), uint8, 0 or 1; for
        a regression (n, targets), floating, scaled by the data set's targets
    """

    images: Array
    labels: Array


class TableOptions(NamedTuple):
    """How a table becomes a data set; each field is the setting of the same name.

    target, drop, categorical: names of columns
    test_data, validation_data: paths of other tables; "": none
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
    """Samples for training and testing.

    classes: the name of each class or label, in the order of their numbers; empty for a
        regression
    frame: how a row of features forms a picture
    notes: remarks on decisions made while loading, a line each
    source, data_dir: the arguments of `nnx.load`, with absolute paths
    task: one of `TASKS`
    columns: how a table's columns became features; empty if the features are pixels
    targets: the targets of a regression
    validation: a given validation set; None: training images may be held out instead
    options: the options of `nnx.load` for a table, with absolute paths
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
        """The training, test and, if given, validation parts."""
        given = () if self.validation is None else (self.validation,)
        return (self.train, self.test, *given)

    @property
    def outputs(self) -> int:
        """Number of outputs of a network for this data."""
        return len(self.targets or self.classes)

    def __repr__(self) -> str:
        """Return the task, the outputs, the parts and the notes, a line each."""
        names = [target.name for target in self.targets] or self.classes
        lines = [f"Dataset {self.name}: {self.task} of {', '.join(names)}"[:100]]
        for part, split in zip(_PARTS, self.parts, strict=False):
            shape, dtype = (getattr(split.images, a, "?") for a in ("shape", "dtype"))
            lines.append(f"  {part:10} {shape} {dtype}")
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])


class RawArray(NamedTuple):
    """An array as read from a file, with the places of its values for messages.

    source: description of its origin
    place: returns the file and the place in it of the value at (row, column)
    """

    values: Array
    source: str
    place: Callable[[int, int], str]


class RawSplit(NamedTuple):
    """Images and their labels, before any check.

    images: (n, features), any real numbers
    labels: (n,) or (n, 1) class numbers, or (n, classes) one-hot
    """

    images: RawArray
    labels: RawArray


def frame_of(features: int, size: tuple[int, int] | None, maximum: int) -> Frame:
    """Return how a row of features forms a picture.

    size: (height, width); None: a square if the number of features is one
    """
    side = math.isqrt(features)
    if size is None and side * side != features:
        return Frame(1, features, maximum, 0)
    height, width = size or (side, side)
    side = min(height, width)
    # MNIST scales a digit into 20 of its 28 pixels; tiny pictures have no margin.
    return Frame(height, width, maximum, side * 20 // 28 if side >= 16 else side)


def checked_frame(frame: Frame, features: int | None = None) -> Frame:
    """Return a frame with Python integers; refuse one that does not fit the features.

    features: number of pixels; None: any
    """
    if not isinstance(frame, Frame):
        raise InputError(f"expected an nnx.Frame, not a {type(frame).__name__}")
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


# How far outside [0, 1] a float may be because of rounding.
_ROUNDING = 1e-3


def check_images(
    images: Array, features: int, columns: Sequence[Column], source: str = ""
) -> None:
    """Refuse images that are not one or more rows of `features` finite numbers.

    Floats outside [0, 1] that are not a table's are refused: their scale is unknown.

    columns: of a table, whose features may be any numbers
    source: beginning of that error's message
    """
    if images.ndim != 2 or len(images) == 0 or images.shape[1] != features:
        what, hint = "images", ""
        if columns:
            what, count = "features", len(columns)
            hint = f"; network.features makes them of a table's {count} columns"
        if math.prod(images.shape) == features:
            hint = "; give one as array[None]"
        raise InputError(
            f"expected {what} of shape (n, {features}), got {images.shape}{hint}"
        )
    kind = images.dtype.kind
    if kind in "ui":
        return
    low, high = extremes(images) if kind == "f" else (math.nan, math.nan)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InputError("images must be finite numbers")
    if not columns and (low < -_ROUNDING or high > 1.0 + _ROUNDING):
        raise InputError(
            f"{source}floats are pixels in [0, 1], but these are from {low:g} to "
            f"{high:g}: divide them by the brightest pixel's value, or give their "
            'scale, as in nnx.dataset(x, y, scale=255) or scale="standard"'
        )


def check_labels(labels: Array, images: int, data: Dataset) -> None:
    """Refuse labels that do not fit the task or the number of images.

    This is the last check before a device, where a class number that is too high may
    be taken for another one.
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
    """Refuse labels other than one integer in [0, classes) per image."""
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
