"""IDX, the format MNIST is published in: two zero bytes, a type code, sizes, bytes.

Everything a header claims is compared with the bytes that are really there before
any memory is taken. Format: http://yann.lecun.com/exdb/mnist/ (end of the page).
"""

import gzip
import math
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedIOBase
from pathlib import Path
from typing import TypeAlias

import numpy as np

from nnx.data.dataset import Array
from nnx.data.files import readable
from nnx.data.limits import MOST_EXPANSION, MOST_UNPACKED
from nnx.errors import InputError

_UNSIGNED_BYTE = 0x08
_KINDS = {1: "labels", 3: "images"}
_CHUNK = 1 << 20

_Shape: TypeAlias = tuple[int, ...]


def read_images(path: Path) -> tuple[Array, tuple[int, int]]:
    """Return the images of an IDX file, and their height and width.

    An uncompressed file is mapped, read-only, and not read.

    returns: images (n, height * width) uint8, (height, width)
    refused: anything but n > 0 images of unsigned bytes and not a byte more
    """
    (count, height, width), pixels = _read(path, 3)
    return pixels.reshape(count, height * width), (height, width)


def read_labels(path: Path) -> Array:
    """Return the labels of an IDX file.

    returns: (n,) uint8
    refused: anything but n > 0 labels of unsigned bytes and not a byte more
    """
    _, labels = _read(path, 1)
    return labels


def _read(path: Path, dimensions: int) -> tuple[_Shape, Array]:
    with readable(path), open(path, "rb") as file:
        if path.suffix == ".gz":
            with _sound(path):
                return _unpack(path, file, dimensions)
        return _map(path, file, dimensions)


def _map(path: Path, file: BufferedIOBase, dimensions: int) -> tuple[_Shape, Array]:
    shape = _shape(path, file, dimensions)
    header, has = file.tell(), os.fstat(file.fileno()).st_size
    needs = header + math.prod(shape)
    if has < needs:
        raise InputError(f"{path}: truncated: needs {needs} bytes, has {has}")
    if has > needs:
        raise InputError(f"{path}: trailing bytes: needs {needs} bytes, has {has}")
    return shape, np.memmap(path, np.uint8, "r", offset=header, shape=shape)


def _unpack(path: Path, file: BufferedIOBase, dimensions: int) -> tuple[_Shape, Array]:
    _check_gzip(path, file)
    with gzip.GzipFile(fileobj=file) as stream:
        shape = _shape(path, stream, dimensions)
        header, size = stream.tell(), math.prod(shape)
        _check_expansion(path, size, os.fstat(file.fileno()).st_size)
        data = np.empty(size, np.uint8)
        got = _fill(stream, data)
        if got < size:
            needs, has = header + size, header + got
            raise InputError(f"{path}: truncated: needs {needs} bytes, has {has}")
        # Reading past the data also makes gzip check its CRC.
        if stream.read(1):
            raise InputError(f"{path}: trailing bytes after the {header + size} needed")
    return shape, data.reshape(shape)


def _fill(stream: gzip.GzipFile, data: Array) -> int:
    """Copy from the stream into data; return how many bytes there were."""
    got = 0
    with suppress(EOFError):
        while got < data.size:
            piece = stream.read1(min(_CHUNK, data.size - got))
            if not piece:
                break
            data[got : got + len(piece)] = np.frombuffer(piece, np.uint8)
            got += len(piece)
    return got


def _shape(path: Path, stream: BufferedIOBase, dimensions: int) -> _Shape:
    """Read the header; return the sizes it gives."""
    length = 4 + 4 * dimensions
    magic = stream.read(4)
    if not magic:
        raise InputError(f"{path}: no samples: the file is empty")
    if len(magic) == 4:
        _check_magic(path, magic, dimensions)
    sizes = stream.read(length - 4)
    if len(magic) + len(sizes) < length:
        has = len(magic) + len(sizes)
        raise InputError(
            f"{path}: truncated: its header needs {length} bytes, has {has}"
        )
    shape = struct.unpack(f">{dimensions}I", sizes)
    if 0 in shape:
        sizes_said = " x ".join(map(str, shape))
        raise InputError(f"{path}: no samples: its header says {sizes_said}")
    return shape


def _check_magic(path: Path, magic: bytes, dimensions: int) -> None:
    zeros, code, found = magic[:2], magic[2], magic[3]
    if zeros == b"\x1f\x8b":
        raise InputError(f"{path}: compressed with gzip: add .gz to its name")
    if zeros != b"\0\0":
        raise InputError(f"{path}: not IDX (starts with {_quoted(magic)})")
    if code != _UNSIGNED_BYTE:
        raise InputError(
            f"{path}: values of type code 0x{code:02x}; "
            "only unsigned bytes (0x08) are read"
        )
    if found != dimensions:
        raise InputError(f"{path}: expected {_kind(dimensions)}, found {_kind(found)}")


def _kind(dimensions: int) -> str:
    kind = _KINDS.get(dimensions, "neither images nor labels")
    magic = f"0x0000{_UNSIGNED_BYTE:02x}{dimensions:02x}"
    return f"{kind} (dimensions: {dimensions}, magic {magic})"


def _check_gzip(path: Path, file: BufferedIOBase) -> None:
    start = file.read(4)
    file.seek(0)
    if not start:
        raise InputError(f"{path}: no samples: the file is empty")
    if start[:2] == b"\x1f\x8b":
        return
    if start.lstrip().startswith(b"<"):
        advice = "the mirror answered with a web page; fetch it again"
    elif start[:2] == b"\0\0":
        advice = "it is unpacked already; take .gz off its name"
    else:
        advice = "fetch it again"
    raise InputError(f"{path}: not gzip (starts with {_quoted(start)}): {advice}")


def _check_expansion(path: Path, size: int, packed: int) -> None:
    if size > MOST_EXPANSION * packed:
        raise InputError(
            f"{path}: truncated or forged: its header says {size} bytes, more than "
            f"the {packed} compressed bytes there can hold"
        )
    if size > MOST_UNPACKED:
        raise InputError(
            f"{path}: {size} bytes unpacked, more than 4 GiB: "
            "unpack it first (gunzip); an unpacked file need not fit in memory"
        )


def _quoted(start: bytes) -> str:
    return f"'{ascii(start.decode('latin-1'))[1:-1]}…'"


@contextmanager
def _sound(path: Path) -> Iterator[None]:
    """Refuse compressed data that end early, or are not what was compressed."""
    try:
        yield
    except EOFError:
        raise InputError(
            f"{path}: truncated: the compressed data end early; fetch it again"
        ) from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path}: damaged ({error}); fetch it again") from None
