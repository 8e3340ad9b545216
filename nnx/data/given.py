"""What stands for a data set where one is given from Python."""

import os
from typing import Any

from nnx.data.dataset import IN_MEMORY, Array, Dataset, Split
from nnx.errors import InputError


def loaded(data: Any) -> Dataset:
    """Return a data set as it is, or as `nnx.load` gives it of a name or path.

    Raises:
        InputError: what is neither, or cannot be loaded
    """
    if isinstance(data, str | os.PathLike):
        from nnx.data.load import load

        return load(data)
    if not isinstance(data, Dataset):
        raise InputError(
            "expected a data set, as nnx.load gives it, or its name or path, not a "
            f"{type(data).__name__}"
        )
    for part in "train", "test":
        for name, array in getattr(data, part)._asdict().items():
            _check_array(array, f"{part}.{name}")
    return data


def dataset(data: Any, validation: Any = None) -> Dataset:
    """Return a data set as `loaded` does, or of a pair (x, y).

    validation: None, such a pair, or a part of a data set, to choose by

    Raises:
        InputError: as for `loaded` and `nnx.dataset`
    """
    from nnx.data import from_memory

    if isinstance(data, tuple) and not isinstance(data, Dataset):
        data = from_memory.dataset(*_pair("data", data))
    made = loaded(data)
    if validation is None:
        return made
    if not isinstance(validation, Split):
        pair = _pair("validation", validation)
        validation = from_memory.split_like(made, *pair)
    options = made.options._replace(validation_data=IN_MEMORY)
    return made._replace(validation=validation, options=options)


def _pair(name: str, given: Any) -> tuple[Any, Any]:
    """Return x and y; refused where these are not two."""
    if not isinstance(given, tuple) or len(given) != 2:
        hint = "; a share of the data is validation_fraction"
        shown = " ".join(repr(given).split())[:40]
        raise InputError(
            f"{name} must be a pair (x, y), not {shown}"
            f"{hint if name == 'validation' else ', or a data set'}"
        )
    return given[0], given[1]


def _check_array(array: Array, name: str) -> None:
    if not hasattr(array, "shape") or not hasattr(array, "dtype"):
        raise InputError(
            f"{name} of a data set must be an array, not a {type(array).__name__}: "
            "np.asarray makes one"
        )
