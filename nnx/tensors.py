"""Reading tensors from safetensors files, and checking their shapes and values."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from nnx import files
from nnx.data.dataset import Array
from nnx.errors import InputError
from nnx.maths.arrays import named_arrays
from nnx.settings.table import DTYPES

# Largest header in bytes: in total, as safetensors allows, and without its strings.
MOST_HEADER, MOST_STRUCTURE = 100_000_000, 1 << 20
STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)


def read(path: Path) -> tuple[dict[str, str], dict[str, Array]]:
    """Return the metadata and the arrays of a safetensors file.

    Raises:
        InputError: the file does not exist, is not safetensors or is truncated, or has
            a dtype that NumPy lacks
    """
    from safetensors import SafetensorError, safe_open

    with files.readable(path):
        _check_header(path)
        try:
            with safe_open(path, framework="numpy") as file:
                names = file.keys()
                return file.metadata() or {}, {n: file.get_tensor(n) for n in names}
        except FileNotFoundError:
            raise InputError(
                f"{path}: no such file; give a run's folder or a model in it"
            ) from None
        except SafetensorError as error:
            raise InputError(f"{path}: not a safetensors file: {error}") from None
        except (AttributeError, TypeError) as error:  # bfloat16 and its kin
            raise InputError(
                f"{path}: holds numbers of a kind that NumPy lacks ({error}); save "
                "them as float32"
            ) from None


def _check_header(path: Path) -> None:
    """Refuse a header with more tensors than the library may have memory for.

    The library needs about thirty bytes per byte outside strings, and ends the process
    if it gets none.
    """
    if not path.is_file():
        return
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not MOST_STRUCTURE < length <= MOST_HEADER:
            return
        header = file.read(length)
    if len(re.sub(STRING, b"", header)) > MOST_STRUCTURE:
        raise InputError(f"{path}: not a model: it says that it has too many tensors")


def check_tensor(path: Path, name: str, array: Array, shape: tuple[int, ...]) -> None:
    """Refuse a missing array, another shape, a dtype not in `DTYPES`, or NaN."""
    if array is None:
        raise InputError(f"{path}: has no tensor {name}")
    if array.shape != shape or array.dtype.name not in DTYPES:
        raise InputError(
            f"{path}: {name} should have shape {shape} in {' or '.join(DTYPES)}, "
            f"has {array.shape} in {array.dtype}"
        )
    check_finite(path, [(name, array)])


def finite(tree: Any, name: str) -> Any:
    """Return a network's arrays unchanged; raise InputError if any is not finite.

    The outputs of such a network would be meaningless without showing it: a unit that
    is NaN may look like one that is off.

    name: of the tree
    """
    check_finite("the network", named_arrays(tree, name))
    return tree


def check_finite(source: object, arrays: Iterable[tuple[str, Array]]) -> None:
    """Refuse arrays, given with their names, that contain NaN or infinity."""
    for name, array in arrays:
        if not np.isfinite(array).all():
            raise InputError(f"{source}: {name} holds values that are not finite")
