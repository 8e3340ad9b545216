"""IDX, the format of MNIST: two zero bytes, a type code, dimensions, sizes, values.

What a header claims is compared with the bytes in the file before any memory is
allocated. Format: http://yann.lecun.com/exdb/mnist/ (end of the page).
"""

import gzip
import math
import os
import struct
import zlib
from contextlib import suppress
from io import BufferedIOBase
from pathlib import Path

import numpy as np

from nnx.data.dataset import Array
from nnx.data.limits import MAX_EXPANSION, MAX_UNPACKED
from nnx.errors import InputError
from nnx.files import readable

_UNSIGNED_BYTE = 0x08
_KINDS = {1: "labels", 3: "images"}
_CHUNK = 1 << 20


def read_images(path: Path) -> tuple[Array, tuple[int, int]]:
    """Return the images of an IDX file, and their height and width.

    An uncompressed file is mapped read-only instead of being read.

    returns: images (n, height * width) uint8, (height, width)

    Raises:
        InputError: the file holds anything but n > 0 images of unsigned bytes, or more
            bytes than these
    """
    images = _read(path, 3)
    count, height, width = images.shape
    return images.reshape(count, height * width), (height, width)


def read_labels(path: Path) -> Array:
    """Return the labels of an IDX file.

    returns: (n,) uint8

    Raises:
        InputError: the file holds anything but n > 0 labels of unsigned bytes, or more
            bytes than these
    """
    return _read(path, 1)


def _read(path: Path, dimensions: int) -> Array:
    with readable(path), open(path, "rb") as file:
        if path.suffix != ".gz":
            return _map(path, file, dimensions)
        try:
            return _unpack(path, file, dimensions)
        except EOFError:
            raise InputError(
                f"{path}: truncated: the compressed data end early; fetch it again"
            ) from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise InputError(f"{path}: damaged ({error}); fetch it again") from None


def _map(path: Path, file: BufferedIOBase, dimensions: int) -> Array:
    shape = _shape(path, file, dimensions)
    header, has = file.tell(), os.fstat(file.fileno()).st_size
    needs = header + math.prod(shape)
    if has != needs:
        what = "truncated" if has < needs else "trailing bytes"
        raise InputError(f"{path}: {what}: needs {needs} bytes, has {has}")
    return np.memmap(path, np.uint8, "r", offset=header, shape=shape)


def _unpack(path: Path, file: BufferedIOBase, dimensions: int) -> Array:
    _check_gzip(path, file)
    with gzip.GzipFile(fileobj=file) as stream:
        shape = _shape(path, stream, dimensions)
        header, size = stream.tell(), math.prod(shape)
        _check_expansion(path, size, os.fstat(file.fileno()).st_size)
        data = np.empty(size, np.uint8)
        got = 0
        with suppress(EOFError):  # data that end early are refused below
            while count := stream.readinto1(data.data[got : got + _CHUNK]):
                got += count
        needs = header + size
        if got < size:
            raise InputError(
                f"{path}: truncated: needs {needs} bytes, has {header + got}"
            )
        # Reading past the data also makes gzip check its CRC.
        if stream.read(1):
            raise InputError(f"{path}: trailing bytes after the {needs} needed")
    return data.reshape(shape)


def _shape(path: Path, stream: BufferedIOBase, dimensions: int) -> tuple[int, ...]:
    """Read the header; return the sizes in it."""
    length = 4 + 4 * dimensions
    magic = stream.read(4)
    if not magic:
        raise InputError(f"{path}: no samples: the file is empty")
    if len(magic) == 4:
        _check_magic(path, magic, dimensions)
    sizes = stream.read(length - 4)
    has = len(magic) + len(sizes)
    if has < length:
        raise InputError(
            f"{path}: truncated: its header needs {length} bytes, has {has}"
        )
    shape = struct.unpack(f">{dimensions}I", sizes)
    if 0 in shape:
        said = " x ".join(map(str, shape))
        raise InputError(f"{path}: no samples: its header says {said}")
    return shape


def _check_magic(path: Path, magic: bytes, dimensions: int) -> None:
    zeros, code, has = magic[:2], magic[2], magic[3]
    if zeros == b"\x1f\x8b":
        raise InputError(f"{path}: compressed with gzip: add .gz to its name")
    if zeros != b"\0\0":
        raise InputError(f"{path}: not IDX (starts with {_quoted(magic)})")
    if code != _UNSIGNED_BYTE:
        raise InputError(
            f"{path}: values of type code 0x{code:02x}; "
            "only unsigned bytes (0x08) are read"
        )
    if has != dimensions:
        raise InputError(f"{path}: expected {_kind(dimensions)}, found {_kind(has)}")


def _kind(dimensions: int) -> str:
    kind = _KINDS.get(dimensions, "neither images nor labels")
    magic = f"0x0000{_UNSIGNED_BYTE:02x}{dimensions:02x}"
    return f"{kind} (dimensions: {dimensions}, magic {magic})"


def _check_gzip(path: Path, file: BufferedIOBase) -> None:
    start = file.read(4)
    file.seek(0)
    if not start or start[:2] == b"\x1f\x8b":  # `_shape` refuses an empty file
        return
    if start.lstrip().startswith(b"<"):
        advice = "the mirror answered with a web page; fetch it again"
    elif start[:2] == b"\0\0":
        advice = "it is unpacked already; take .gz off its name"
    else:
        advice = "fetch it again"
    raise InputError(f"{path}: not gzip (starts with {_quoted(start)}): {advice}")


def _check_expansion(path: Path, size: int, packed: int) -> None:
    if size > MAX_EXPANSION * packed:
        raise InputError(
            f"{path}: truncated or forged: its header says {size} bytes, more than "
            f"the {packed} compressed bytes there can hold"
        )
    if size > MAX_UNPACKED:
        raise InputError(
            f"{path}: {size} bytes unpacked, more than 4 GiB: "
            "unpack it first (gunzip); an unpacked file need not fit in memory"
        )


def _quoted(start: bytes) -> str:
    return f"'{ascii(start.decode('latin-1'))[1:-1]}…'"
