"""A labelled set of images on the host, and the checks every source goes through."""

from typing import Any, NamedTuple, TypeAlias

# Static types for arrays differ per library; shapes live in the docstrings.
Array: TypeAlias = Any


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
    notes: what was found and decided while loading, a line each
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    frame: Frame
    notes: tuple[str, ...] = ()
