"""Files that are damaged inside, but whose checksums and sizes are right."""

import gzip
import io
import json
import random
import struct
import zipfile
import zlib
from typing import Any

import numpy as np
from mutations import mutated
from safetensors.numpy import load as tensors_of
from safetensors.numpy import save as serialize

from nnx import model_file

ODD = (
    None, True, -1, 0, 1.5, 1e308, float("nan"), 2**31, 2**63, 10**30, 10**400,
    "", "relu", "../../etc/passwd", "x" * 1000, [], {}, [[]], ["0"] * 1000,
)  # fmt: skip


def gz(data: bytes, chance: random.Random) -> bytes:
    """Damage what a gzip file holds."""
    return gzip.compress(mutated(gzip.decompress(data), chance), 1)


def archive(data: bytes, chance: random.Random) -> bytes:
    """Damage one of a zip archive's members, its contents or now and then its name."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w") as new:
        names = old.namelist()
        damaged = chance.choice([name for name in names if "version" not in name])
        for name in names:
            content = old.read(name)
            if name == damaged:
                content = mutated(content, chance)
            new.writestr(name, content, old.getinfo(name).compress_type)
    return stream.getvalue()


def png(data: bytes, chance: random.Random) -> bytes:
    """Damage one of a PNG's chunks, its pixels before they are compressed."""
    chunks, at = [], 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    damaged = chance.randrange(len(chunks) - 1)
    kind, content = chunks[damaged]
    if kind == b"IDAT":
        content = zlib.compress(mutated(zlib.decompress(content), chance), 1)
    else:
        content = mutated(content, chance)
    chunks[damaged] = kind, content
    return data[:8] + b"".join(_chunk(*chunk) for chunk in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    crc = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)


def safetensors(data: bytes, chance: random.Random) -> bytes:
    """Damage what a file of ours says of itself, or which tensors it has."""
    (length,) = struct.unpack("<Q", data[:8])
    metadata = json.loads(data[8 : 8 + length])["__metadata__"]
    ((key, said),) = metadata.items()
    tensors, about = tensors_of(data), json.loads(said)
    about.pop("crc32")
    if chance.random() < 0.3:
        name = chance.choice(sorted(tensors))
        array = np.atleast_1d(tensors.pop(name))
        changed = array[:-1], array.astype("float64"), array * float("nan")
        if chance.random() < 0.7:
            tensors[chance.choice((name, f"{name}1"))] = chance.choice(changed)
    else:
        about = _edited(about, chance)
    try:
        about["crc32"] = model_file.crc32(about, tensors)
        return bytes(serialize(tensors, {key: json.dumps(about)}))
    except (AttributeError, TypeError):
        return bytes(serialize(tensors, {key: json.dumps(about)}))


def _edited(value: Any, chance: random.Random) -> Any:
    """Return JSON's values with one of them, or more, replaced by an odd one."""
    if isinstance(value, dict | list) and value and chance.random() < 0.85:
        places = list(value) if isinstance(value, dict) else range(len(value))
        place = chance.choice(places)
        edited = _edited(value[place], chance)
        if isinstance(value, dict):
            return value | {place: edited}
        return [*value[:place], edited, *value[place + 1 :]]
    if isinstance(value, dict) and chance.random() < 0.5:
        return {}
    return chance.choice(ODD)
