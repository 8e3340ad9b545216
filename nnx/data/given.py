"""Arguments from Python that stand for a data set."""

import os
from typing import Any, get_args, get_origin, get_type_hints

from nnx.data.arrays import refuse_masked
from nnx.data.dataset import IN_MEMORY, Array, Dataset, Split
from nnx.errors import InputError, in_few_words
from nnx.settings.table import TASKS

_MODULE = f"{Dataset.__module__}."


def loaded(data: Any) -> Dataset:
    """Return a data set unchanged, or load it from its name or path.

    Raises:
        InputError: data is neither, or cannot be loaded
    """
    if isinstance(data, str | os.PathLike):
        from nnx.data.load import load

        return load(data)
    if not isinstance(data, Dataset):
        raise InputError(
            "expected a data set, as nnx.load gives it or nnx.dataset makes it of "
            f"arrays, or its name or path, not a {type(data).__name__}"
        )
    _check_fields(data)
    parts = {"train": data.train, "test": data.test, "validation": data.validation}
    for part, split in parts.items():
        for name, array in () if split is None else split._asdict().items():
            _check_array(array, f"{part}.{name}")
    return data


def dataset(data: Any, validation: Any = None) -> Dataset:
    """Return a data set as `loaded` does, or make it from a pair (x, y).

    validation: a validation set, as a pair (x, y) or a part of a data set, or None

    Raises:
        InputError: as for `loaded` and `nnx.dataset`
    """
    from nnx.data import from_memory

    if isinstance(data, tuple) and not isinstance(data, Dataset):
        data = from_memory.dataset(*checked_pair("data", data))
    made = loaded(data)
    if validation is None:
        return made
    if not isinstance(validation, Split):
        validation = from_memory.split_like(
            made, *checked_pair("validation", validation)
        )
    options = made.options._replace(validation_data=IN_MEMORY)
    return made._replace(validation=validation, options=options)


def checked_pair(name: str, given: Any) -> tuple[Any, Any]:
    """Return x and y; raise InputError if the argument is not a pair."""
    if isinstance(given, Split):
        raise InputError(
            "a part of a data set does not tell its scale: give the whole data set, "
            "with data._replace(test=…) to test on another part, or a pair (x, y)"
        )
    if not isinstance(given, tuple) or len(given) != 2:
        hint = "; for a share of the data, set validation_fraction"
        raise InputError(
            f"{name} must be a pair (x, y), not {in_few_words(given, 40)}"
            f"{hint if name == 'validation' else ', or a data set'}"
        )
    return given[0], given[1]


def _check_fields(data: Dataset) -> None:
    """Refuse a data set whose fields do not have their declared types."""
    for name, kind in get_type_hints(Dataset).items():
        value = getattr(data, name)
        if get_origin(kind) is tuple:
            item = get_args(kind)[0]
            fits = isinstance(value, tuple) and all(isinstance(v, item) for v in value)
        else:
            fits = isinstance(value, kind)
        if not fits:
            expected = str(kind.__name__ if isinstance(kind, type) else kind)
            raise InputError(
                f"{name} of a data set must be {expected.replace(_MODULE, '')}, not "
                f"{in_few_words(value, 40)}"
            )
    if len({*data.classes}) < len(data.classes):
        raise InputError(f"{data.name}: two classes have the same name")
    if data.task not in TASKS:
        raise InputError(
            f"task of a data set must be one of {', '.join(TASKS)}, not "
            f"{in_few_words(data.task, 40)}"
        )


def _check_array(array: Array, name: str) -> None:
    shape = getattr(array, "shape", None)
    if shape == ():
        raise InputError(f"{name} of a data set must be rows, not one number")
    of_numpy = hasattr(getattr(array, "dtype", None), "kind")
    if not isinstance(shape, tuple) or not of_numpy:
        raise InputError(
            f"{name} of a data set must be an array, not a {type(array).__name__}: "
            "np.asarray makes one"
        )
    refuse_masked(array, name)
