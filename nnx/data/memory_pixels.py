"""Pixels in memory as a data set, whose scale is never guessed."""

from typing import Any

import numpy as np

from nnx.data.arrays import as_array
from nnx.data.dataset import Array, Dataset, RawArray, Split, TableOptions, frame_of
from nnx.data.frame_table import target_table
from nnx.data.one_hot import Pairs
from nnx.data.pixels import as_pixels, divided, require_known
from nnx.data.table_set import held_out
from nnx.data.targets import decide, fit_aim, labels
from nnx.errors import InputError

# Names of x and y of each part in messages.
SOURCES = {
    "train": ("x", "y"),
    "test": ("x_test", "y_test"),
    "validation": ("x of validation", "y of validation"),
}


def of_pixels(name: str, pairs: Pairs, options: TableOptions, scale: Any) -> Dataset:
    """Return a data set of pixels, or of floats in [0, 1]; see `from_memory.dataset`.

    pairs: x and y of each part that is given
    scale: the brightest pixel's value, or "auto"
    """
    images, maximum, notes = _scaled(
        [_rows(x, SOURCES[part][0]) for part, (x, _) in pairs.items()], scale
    )
    first = target_table(pairs["train"][1], SOURCES["train"][1])
    names = first.names
    targets = [first] + [
        target_table(y, SOURCES[part][1], names)
        for part, (_, y) in pairs.items()
        if part != "train"
    ]
    for part, pixels, target in zip(pairs, images, targets, strict=True):
        if len(pixels) != target.rows:
            raise InputError(
                f"{SOURCES[part][0]} has {len(pixels)} rows, and {target.source} "
                f"{target.rows}"
            )
    task, decided = decide(first, names, options.task)
    classes = names if task == "classification" else ()
    train_rows, test_rows, note = held_out(first, (), classes, "test" in pairs)
    aim = fit_aim(
        first, names, task, train_rows, options.standardize in ("both", "targets")
    )
    splits = {
        part: Split(x, labels(aim, target))
        for part, x, target in zip(pairs, images, targets, strict=True)
    }
    if "test" not in splits:
        whole = splits["train"]
        for part, which in ("train", train_rows), ("test", test_rows):
            splits[part] = Split(whole.images[which], whole.labels[which])
    shape = _without_channel(np.shape(pairs["train"][0]))
    size = (shape[1], shape[2]) if len(shape) > 2 else None
    return Dataset(
        name,
        splits["train"],
        splits["test"],
        aim.classes,
        frame_of(images[0].shape[1], size, maximum),
        (*notes, decided, *note),
        task=task,
        targets=aim.targets,
        validation=splits.get("validation"),
        options=options._replace(target=names),
    )


def pixels_like(maximum: int, x: Any, source: str) -> Array:
    """Return pictures in the form of a data set, as `Network.predict` takes them.

    maximum: the value of a fully lit pixel in integers; booleans are black and white
    """
    array = as_array(x, source)
    raw = _rows(array, source)
    if array.dtype.kind == "b":
        return raw.values.astype(np.float32)
    if raw.values.dtype.kind in "ui":
        return divided(raw, maximum)
    require_known(raw, f"uint8 up to {min(maximum, 255)}, or floats up to 1")
    return np.require(raw.values, np.float32, "C")


def _rows(x: Any, source: str) -> RawArray:
    """Return pictures, or rows of features, as (n, features)."""
    array = as_array(x, source)
    if len(_without_channel(array.shape)) not in (2, 3):
        raise InputError(
            f"{source} should have shape (n, features) or (n, height, width), not "
            f"{array.shape}"
        )
    if not array.size or array.dtype.kind not in "buif":
        frame = '; give columns of text as a data frame, or with scale="standard"'
        raise InputError(
            f"{source} has no numbers: {array.dtype} of {array.shape}"
            + frame * bool(array.size)
        )
    rows = array.reshape(len(array), -1)
    rows = rows.astype(np.uint8) if rows.dtype.kind == "b" else rows
    return RawArray(rows, source, lambda row, column: f"{source}[{row}, {column}]")


def _without_channel(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of pictures without an axis of one channel, as in PyTorch."""
    for axis in 3, 1:
        if len(shape) == 4 and shape[axis] == 1:
            return shape[:axis] + shape[axis + 1 :]
    return shape


def _scaled(
    parts: list[RawArray], scale: Any
) -> tuple[list[Array], int, tuple[str, ...]]:
    """Return images in the form of a data set, their brightest value, and notes."""
    first = parts[0]
    for part in parts[1:]:
        if part.values.shape[1:] != first.values.shape[1:]:
            raise InputError(
                f"{part.source} has {part.values.shape[1]} features, and x "
                f"{first.values.shape[1]}"
            )
        if (part.values.dtype.kind == "f") != (first.values.dtype.kind == "f"):
            raise InputError(
                f"{part.source} is {part.values.dtype}, and x {first.values.dtype}"
            )
    if not isinstance(scale, str):
        return [divided(part, int(scale)) for part in parts], int(scale), ()
    for part in parts:
        require_known(part)
    return as_pixels(parts)
