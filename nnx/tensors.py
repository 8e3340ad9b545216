"""Tensors: of any safetensors file, and refused where they mean nothing."""

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

# Bytes of a header: all that safetensors takes, and what is no text in it.
MOST_HEADER, MOST_STRUCTURE = 100_000_000, 1 << 20
STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)


def read(path: Path) -> tuple[dict[str, str], dict[str, Array]]:
    """Return the metadata and the arrays of any safetensors file.

    Raises:
        InputError: a file that is not there, not safetensors, or cut short
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
                f"{path}: holds numbers of a kind that NumPy has not ({error}); save "
                "them as float32"
            ) from None


def _check_header(path: Path) -> None:
    """Refuse a header of more tensors than the library has memory for.

    It takes thirty bytes for one of these, and ends the process where it gets none.
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
    """Refuse an array that has another shape, no dtype of a network's, or NaN."""
    if array is None:
        raise InputError(f"{path}: has no tensor {name}")
    if array.shape != shape or array.dtype.name not in DTYPES:
        raise InputError(
            f"{path}: {name} should have shape {shape} in {' or '.join(DTYPES)}, "
            f"has {array.shape} in {array.dtype}"
        )
    check_finite(path, [(name, array)])


def finite(tree: Any, name: str) -> Any:
    """Return a network's arrays as they are, refused where they are not finite.

    What they gave would mean nothing, and need not show it: a unit that is NaN may be
    taken for one that is off. name: of the tree
    """
    check_finite("the network", named_arrays(tree, name))
    return tree


def check_finite(source: object, arrays: Iterable[tuple[str, Array]]) -> None:
    """Refuse arrays, given with their names, that hold NaN or an infinite number."""
    for name, array in arrays:
        if not np.isfinite(array).all():
            raise InputError(f"{source}: {name} holds values that are not finite")
