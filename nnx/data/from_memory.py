"""Data sets from arrays or data frames in memory, whose scale is never guessed."""

from numbers import Real
from typing import Any

from nnx.data import one_hot
from nnx.data.dataset import (
    IN_MEMORY,
    Dataset,
    Split,
    TableOptions,
)
from nnx.data.frame_table import (
    categories_of,
    is_frame,
    table_of_pair,
    target_table,
)
from nnx.data.given import checked_pair
from nnx.data.memory_pixels import SOURCES, of_pixels, pixels_like
from nnx.data.one_hot import Pairs
from nnx.data.split import hold_out, made_like
from nnx.data.table_like import aim_of
from nnx.data.table_options import checked
from nnx.data.table_set import TEST_PART, split_of, table_set
from nnx.data.targets import labels
from nnx.errors import InputError, in_few_words

SCALES = "auto", "standard", "none"
# Options of `nnx.load` for a table, and the arguments of `dataset` in their place.
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
    like: Any = None,
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
    like: a trained network, or its data set, whose scales, classes and targets these
        samples get, in place of scale and options
    options: task and standardize, and for data frames drop, categorical and missing: as
        for `nnx.load`

    Raises:
        InputError: the scale of x is unknown, shapes do not fit, a value is not finite,
            or `nnx.load` would refuse the table
    """
    if not isinstance(name, str):
        raise InputError(f"name must be a text, not {in_few_words(name)}")
    table, pairs = _options(options), _pairs((x, y), (x_test, y_test), validation)
    if validation is not None:
        table = table._replace(validation_data=IN_MEMORY)
    if like is not None:
        _check_like(like, scale, options)
        return _dataset_like(like, name, pairs, table)
    pairs = one_hot.in_pairs(pairs, table.task)
    _check_scale(scale, is_frame(x))
    if is_frame(x) or scale in ("standard", "none"):
        return _of_tables(name, pairs, table, scale)
    usual = TableOptions(validation_data=table.validation_data)
    if table._replace(task="auto", standardize="both") != usual:
        raise InputError("drop, categorical and missing are for data frames")
    return of_pixels(name, pairs, table, scale)


def _pairs(train: tuple[Any, Any], test: tuple[Any, Any], validation: Any) -> Pairs:
    """Return x and y of each part that is given."""
    if (test[0] is None) != (test[1] is None):
        raise InputError("x_test and y_test go together: give both, or neither")
    pairs: Pairs = {"train": train}
    if test[0] is not None:
        pairs["test"] = test
    if validation is not None:
        pairs["validation"] = checked_pair("validation", validation)
    return pairs


def _options(given: dict[str, Any]) -> TableOptions:
    """Return checked options; refuse those that `dataset` has as arguments."""
    for name in given.keys() & _GIVEN_AS.keys():
        raise InputError(f"nnx.dataset takes no {name}: give {_GIVEN_AS[name]}")
    return checked(given)


def _check_like(like: Any, scale: Any, options: dict[str, Any]) -> None:
    if not getattr(like, "classes", ()) and not getattr(like, "targets", ()):
        raise InputError(
            "like must be a trained network, or a data set, not "
            f"{in_few_words(like, 40)}"
        )
    for name in [*options, *["scale"] * (scale != "auto")]:
        raise InputError(f"{name} comes with like: leave one of them out")


def _dataset_like(like: Any, name: str, pairs: Pairs, options: TableOptions) -> Dataset:
    """Return samples in the form of a network's; see `dataset`."""
    parts = {
        part: split_like(like, *pair, SOURCES[part]) for part, pair in pairs.items()
    }
    train, notes = parts["train"], tuple[str, ...]()
    test = parts.get("test")
    if test is None:
        (train, test), note = hold_out(train, TEST_PART)
        notes = (note,)
    return made_like(
        like,
        name,
        train,
        test,
        notes=notes,
        validation=parts.get("validation"),
        options=options._replace(target=aim_of(like, ()).names),
    )


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
    like: Any, x: Any, y: Any, sources: tuple[str, str] = SOURCES["validation"]
) -> Split:
    """Return more samples in the form of those in a data set, or of a network's.

    like: the data set, or the network
    x, y: as for `dataset`; pixels must be integers as in training, booleans, or floats
        in [0, 1]; an array has the columns in their order
    sources: names of x and y for messages

    Raises:
        InputError: the samples do not fit the data set or the network
    """
    known = aim_of(like, ()).names
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
    images = pixels_like(like.frame.maximum, x, sources[0])
    targets = target_table(y, sources[1], names)
    return Split(images, labels(aim_of(like, names), targets))


def _of_tables(name: str, pairs: Pairs, options: TableOptions, scale: Any) -> Dataset:
    drop = options.drop
    own = categories_of(pairs["train"], SOURCES["train"][0], drop)
    text = tuple(dict.fromkeys(options.categorical + own))
    options = options._replace(categorical=text)
    first, target = table_of_pair(
        pairs["train"], SOURCES["train"], text=text, without=drop
    )
    used = [name for name in first.names if name not in target]
    others = {
        part: table_of_pair(pair, SOURCES[part], target, text, used)[0]
        for part, pair in pairs.items()
        if part != "train"
    }
    if scale == "none":
        of_targets = options.standardize in ("both", "targets")
        options = options._replace(standardize="targets" if of_targets else "none")
    options = options._replace(target=target)
    return table_set(name, first, options, **others)
