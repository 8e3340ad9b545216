"""Data sets from arrays or data frames in memory, whose scale is never guessed."""

from numbers import Real
from typing import Any

import numpy as np

from nnx.data import one_hot
from nnx.data.arrays import as_array
from nnx.data.dataset import (
    IN_MEMORY,
    Array,
    Dataset,
    RawArray,
    Split,
    TableOptions,
    frame_of,
)
from nnx.data.frame_table import (
    categories_of,
    is_frame,
    table_of_pair,
    target_table,
)
from nnx.data.given import checked_pair
from nnx.data.one_hot import Pairs
from nnx.data.pixels import as_pixels, divided, require_known
from nnx.data.table_options import checked
from nnx.data.table_set import aim_of, held_out, split_of, table_set
from nnx.data.targets import decide, fit_aim, labels
from nnx.errors import InputError, in_few_words

SCALES = "auto", "standard", "none"
# What x and y of each part are called in messages.
_SOURCES = {
    "train": ("x", "y"),
    "test": ("x_test", "y_test"),
    "validation": ("x of validation", "y of validation"),
}
# What `nnx.load` is given as an option of a table, and `dataset` as an argument.
_GIVEN_AS = {
    "target": "it as y, the name of a column or several",
    "test_data": "x_test and y_test",
    "validation_data": "validation, as a pair (x, y)",
}


def dataset(
    x: Any,
    y: Any,
    x_test: Any = None,
    y_test: Any = None,
    *,
    validation: tuple[Any, Any] | None = None,
    scale: str | float = "auto",
    name: str = IN_MEMORY,
    **options: Any,
) -> Dataset:
    """Return a data set made from arrays or data frames in memory.

    x: (n, features), or pictures (n, height, width), also with an axis of one channel;
        or a data frame with columns of numbers or text, or of pandas' categories
    y: (n,) classes, as numbers or text, or numbers to predict; or (n, targets), or (n,
        classes) one-hot; a data frame's columns of 0 and 1 are several labels. If x is
        a data frame, y may also be the name of a column of x, or a list of names
    x_test, y_test: samples for testing; None: a fixed tenth of the rows is held out,
        and of fewer than ten rows none
    validation: a validation set, as a pair (x, y)
    scale: the scale of the numbers in x. "auto": uint8 are pixels up to 255, and floats
        must be in [0, 1]; a number: the brightest pixel's value; "standard": scale each
        column to mean 0 and standard deviation 1; "none": use any numbers unchanged
    options: task and standardize, and for data frames drop, categorical and missing: as
        for `nnx.load`

    Raises:
        InputError: the scale of x is unknown, shapes do not fit, a value is not finite,
            or `nnx.load` would refuse the table
    """
    if (x_test is None) != (y_test is None):
        raise InputError("x_test and y_test go together: give both, or neither")
    if not isinstance(name, str):
        raise InputError(f"name must be a text, not {in_few_words(name)}")
    table = _options(options)
    pairs: Pairs = {"train": (x, y)}
    if x_test is not None:
        pairs["test"] = x_test, y_test
    if validation is not None:
        pairs["validation"] = checked_pair("validation", validation)
        table = table._replace(validation_data=IN_MEMORY)
    pairs = one_hot.in_pairs(pairs, table.task)
    _check_scale(scale, is_frame(x))
    if is_frame(x) or scale in ("standard", "none"):
        return _of_tables(name, pairs, table, scale)
    usual = TableOptions(validation_data=table.validation_data)
    if table._replace(task="auto", standardize="both") != usual:
        raise InputError("drop, categorical and missing are for data frames")
    return _of_pixels(name, pairs, table, scale)


def _options(given: dict[str, Any]) -> TableOptions:
    """Return checked options; refuse those that `dataset` has as arguments."""
    for name in given.keys() & _GIVEN_AS.keys():
        raise InputError(f"nnx.dataset takes no {name}: give {_GIVEN_AS[name]}")
    return checked(given)


def _check_scale(scale: Any, of_frame: bool) -> None:
    if isinstance(scale, str) and scale in SCALES:
        return
    is_number = isinstance(scale, Real) and not isinstance(scale, bool)
    if not (is_number and 1 <= scale < 2**31 and scale == int(scale)):
        raise InputError(
            f"scale must be one of {', '.join(SCALES)}, or the brightest pixel's "
            f"value, not {in_few_words(scale)}"
        )
    if of_frame:
        raise InputError("a data frame's columns are not pixels: leave scale out")


def split_like(
    like: Any, x: Any, y: Any, sources: tuple[str, str] = _SOURCES["validation"]
) -> Split:
    """Return more samples in the form of those in a data set, or of a network's.

    like: the data set, or the network
    x, y: as for `dataset`; pixels must be integers as in training, booleans, or floats
        in [0, 1]; an array has the columns in their order
    sources: names of x and y for messages

    Raises:
        InputError: the samples do not fit the data set or the network
    """
    named = like.options.target if isinstance(like, Dataset) else ()
    known = aim_of(like, named).names
    names = known or ("target",)
    y = one_hot.as_classes(y, like.task)
    if like.columns:
        text = [column.name for column in like.columns if column.categories]
        own_names = [column.name for column in like.columns]
        table, target = table_of_pair((x, y), sources, names, text, own_names)
        if known and {*target} != {*known}:
            own, given = ", ".join(known), ", ".join(target)
            raise InputError(f"{sources[1]} names {given}; what is predicted is {own}")
        return split_of(table, like.columns, aim_of(like, known or target))
    images = _pixels_like(like.frame.maximum, x, sources[0])
    targets = target_table(y, sources[1], names)
    return Split(images, labels(aim_of(like, names), targets))


def _pixels_like(maximum: int, x: Any, source: str) -> Array:
    """Return pictures in the form of a data set, as `Network.predict` takes them.

    maximum: the value of a fully lit pixel in integers; booleans are black and white
    """
    array = as_array(x, source)
    raw = _rows(array, source)
    if array.dtype.kind == "b":
        return raw.values.astype(np.float32)
    if raw.values.dtype.kind in "ui":
        return divided(raw, maximum)
    require_known(raw, maximum, f"uint8 up to {min(maximum, 255)}, or floats up to 1")
    return np.require(raw.values, np.float32, "C")


def _of_tables(name: str, pairs: Pairs, options: TableOptions, scale: Any) -> Dataset:
    drop = options.drop
    own = categories_of(pairs["train"], _SOURCES["train"][0], drop)
    text = tuple(dict.fromkeys(options.categorical + own))
    options = options._replace(categorical=text)
    first, target = table_of_pair(
        pairs["train"], _SOURCES["train"], text=text, without=drop
    )
    used = [name for name in first.names if name not in target]
    others = {
        part: table_of_pair(pair, _SOURCES[part], target, text, used)[0]
        for part, pair in pairs.items()
        if part != "train"
    }
    if scale == "none":
        of_targets = options.standardize in ("both", "targets")
        options = options._replace(standardize="targets" if of_targets else "none")
    options = options._replace(target=target)
    return table_set(name, first, options, **others)


def _of_pixels(name: str, pairs: Pairs, options: TableOptions, scale: Any) -> Dataset:
    images, maximum, notes = _scaled(
        [_rows(x, _SOURCES[part][0]) for part, (x, _) in pairs.items()], scale
    )
    first = target_table(pairs["train"][1], _SOURCES["train"][1])
    names = first.names
    targets = [first] + [
        target_table(y, _SOURCES[part][1], names)
        for part, (_, y) in pairs.items()
        if part != "train"
    ]
    for part, pixels, target in zip(pairs, images, targets, strict=True):
        if len(pixels) != target.rows:
            raise InputError(
                f"{_SOURCES[part][0]} has {len(pixels)} rows, and {target.source} "
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


def _rows(x: Any, source: str) -> RawArray:
    """Return pictures, or rows of features, as (n, features)."""
    array = as_array(x, source)
    if len(_without_channel(array.shape)) not in (2, 3):
        raise InputError(
            f"{source} should have shape (n, features) or (n, height, width), not "
            f"{array.shape}"
        )
    if not array.size or array.dtype.kind not in "buif":
        raise InputError(f"{source} has no numbers: {array.dtype} of {array.shape}")
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
