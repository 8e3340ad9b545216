"""An .npz archive with x_train, y_train and, for testing, x_test and y_test.

NumPy reads the arrays. Before that, what each header claims is compared with what the
archive can hold, and nothing that could run code is accepted.
"""

import math
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from nnx.data.assemble import assemble
from nnx.data.dataset import Array, Dataset, RawArray, RawSplit
from nnx.data.limits import MAX_EXPANSION, MAX_UNPACKED
from nnx.errors import InputError, first_line
from nnx.files import readable

KEYS = ("x_train", "y_train", "x_test", "y_test")


def load(path: Path, name: str) -> Dataset:
    """Return the samples of an .npz archive; without a test part, a tenth is held out.

    The images may be (n, height, width), (n, height, width, 1) or (n, features).

    Raises:
        InputError: an array is missing, holds pickled objects, or is smaller than its
            header claims
    """
    with _opened(path) as archive:
        keys = _keys(path, archive)
        arrays = {key: _read(path, archive, key) for key in keys}
    return assembled(path, name, arrays)


def keys_of(present: Collection[str]) -> tuple[str, ...]:
    """Return the names in `KEYS` that are needed: all, or those of a training part."""
    return KEYS[:2] if {*KEYS} & {*present} == {*KEYS[:2]} else KEYS


def assembled(path: Path, name: str, arrays: Mapping[str, Array]) -> Dataset:
    """Return the data set made from arrays with the names in `KEYS`.

    path: of the archive or folder with the arrays
    """
    train, *tests = (
        RawSplit(_images(path, x, arrays[x]), _labels(path, y, arrays[y]))
        for x, y in (KEYS[:2], KEYS[2:])
        if x in arrays
    )
    shape = arrays["x_train"].shape[1:]
    if tests and (other := arrays["x_test"].shape[1:]) != shape:
        raise InputError(f"{path}: x_test has images of {other}, x_train of {shape}")
    size = (shape[0], shape[1]) if len(shape) > 1 else None
    return assemble(name, train, tests[0] if tests else None, size=size)


def read_images(path: Path) -> RawArray:
    """Return the images of an archive without labels: x_test, x, or its only array.

    Raises:
        InputError: as for `load`, or several arrays have other names
    """
    with _opened(path) as archive:
        names = [name[:-4] for name in archive.namelist() if name.endswith(".npy")]
        known = [name for name in ("x_test", "x") if name in names]
        if not known and len(names) != 1:
            present = ascii(", ".join(names[:10])) if names else "no array in it"
            raise InputError(
                f"{path}: no array is called x or x_test; there is {present}"
            )
        key = (known or names)[0]
        values = _read(path, archive, key)
    return _images(path, key, values)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive; its faults raise errors with a one-line message."""
    try:
        with readable(path), zipfile.ZipFile(path) as archive:
            yield archive
    except InputError:
        raise
    except zipfile.BadZipFile as error:
        why = first_line(error)
        raise InputError(f"{path}: not a whole .npz archive ({why})") from None
    except (EOFError, RuntimeError, ValueError, zlib.error) as error:
        raise InputError(f"{path}: damaged ({first_line(error)})") from None


def _keys(path: Path, archive: zipfile.ZipFile) -> tuple[str, ...]:
    """Return the names of the arrays to read; refuse an archive that lacks one."""
    present = [name[:-4] for name in archive.namelist() if name.endswith(".npy")]
    keys = keys_of(present)
    missing = [key for key in keys if key not in present]
    if missing:
        names = ascii(", ".join(present[:10])) if present else "no array in it"
        raise InputError(f"{path}: missing {', '.join(missing)}; there is {names}")
    return keys


def _read(path: Path, archive: zipfile.ZipFile, key: str) -> Array:
    where = f"{path}: {key}"
    member = archive.getinfo(f"{key}.npy")
    _check_member(where, member, path.stat().st_size)
    with archive.open(member) as stream:
        _check_header(where, stream, member.file_size)
    with archive.open(member) as stream:
        # If the checks missed a pickle, NumPy refuses it here.
        return np.lib.format.read_array(stream, allow_pickle=False)


def _check_member(where: str, member: zipfile.ZipInfo, size: int) -> None:
    expansion = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: MAX_EXPANSION}
    if member.compress_type not in expansion or member.flag_bits & 1:
        raise InputError(
            f"{where}: encrypted, or compressed in an unknown way; write it with "
            "np.savez"
        )
    packed = min(member.compress_size, size)
    if member.file_size > packed * expansion[member.compress_type]:
        raise InputError(
            f"{where}: truncated or forged: {member.file_size} bytes "
            f"cannot be in {packed} compressed bytes"
        )
    if member.file_size > MAX_UNPACKED:
        raise InputError(
            f"{where}: {member.file_size} bytes unpacked, more than 4 GiB: "
            "save the images as uint8, or as IDX files"
        )


def _check_header(where: str, stream: IO[bytes], has: int) -> None:
    try:
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):  # later versions allow headers of up to 4 GiB
            raise ValueError(f"format {version}, expected (1, 0)")
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        require_integers(shape)
    except Exception as error:  # exceptions for forged headers are not documented
        raise InputError(f"{where}: not a plain array ({first_line(error)})") from None
    require_numbers(where, [dtype])
    needs = stream.tell() + math.prod(shape) * dtype.itemsize
    if needs != has or min(shape, default=0) < 0:
        raise InputError(f"{where}: truncated: needs {needs} bytes, has {has}")


def require_integers(shape: tuple[int, ...]) -> None:
    """Refuse, with ValueError, True in a shape, which NumPy reads as a number."""
    if bool in map(type, shape):
        raise ValueError(f"shape {shape}")


def require_numbers(where: str, dtypes: Sequence[np.dtype]) -> None:
    """Refuse an array, or one with columns, that holds anything but numbers."""
    if any(dtype.hasobject for dtype in dtypes):
        raise InputError(
            f"{where}: holds pickled Python objects, which could run code and are "
            "never loaded; save an array of numbers (np.asarray(..., dtype=np.uint8))"
        )
    for dtype in dtypes:
        if dtype.kind not in "buif" or dtype.itemsize > 8:
            advice = "; from Python, nnx.dataset takes arrays with text as classes"
            raise InputError(
                f"{where}: holds {dtype}, expected integers or floats"
                f"{advice * (dtype.kind in 'US')}"
            )


def _images(path: Path, key: str, values: Array) -> RawArray:
    shape = values.shape
    if not (len(shape) in (2, 3) or (len(shape) == 4 and shape[3] == 1)):
        raise InputError(
            f"{path}: expected {key} of shape (n, height, width) or (n, features), "
            f"got {shape}"
        )

    def place(row: int, column: int) -> str:
        index = (row, *map(int, np.unravel_index(column, shape[1:])))
        return f"{path}: {key}{list(index)}"

    flat = values.reshape(len(values), math.prod(shape[1:]))
    return RawArray(flat, f"{path}: {key}", place)


def _labels(path: Path, key: str, values: Array) -> RawArray:
    if values.ndim not in (1, 2) or (values.ndim == 2 and not values.shape[1]):
        raise InputError(
            f"{path}: expected {key} of shape (n,) or (n, classes), got {values.shape}"
        )
    return RawArray(values, f"{path}: {key}", lambda row, _: f"{path}: {key}[{row}]")
