"""Every parser of files: files that it reads, and how to have it read one."""

import gzip
import io
import random
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import seals
from mutations import mutated
from PIL import Image

import nnx
from nnx import files
from nnx.data import csv_sets, npz, unlabelled
from nnx.data.dataset import Column, Dataset, Frame, Split
from nnx.data.idx import read_images, read_labels
from nnx.data.load import load
from nnx.network import Network
from nnx.settings import as_text, complete
from nnx.training import checkpoint
from nnx.training.log import from_csv
from nnx.training.run import Run


class Parser(NamedTuple):
    """A parser, and what to try on it.

    ending: of a file's name
    seeds: makes files that it reads
    read: reads the file at a path to its end
    sealed: damages a file behind its checksums
    """

    ending: str
    seeds: Callable[[], list[bytes]]
    read: Callable[[Path], Any]
    sealed: Callable[[bytes, random.Random], bytes] = mutated

    def damaged(self, chance: random.Random) -> bytes:
        """Return a file that is not as it should be."""
        way = chance.choice((mutated, self.sealed))
        return way(chance.choice(self.seeds()), chance)


CHANCE = np.random.default_rng(0)
IMAGES = CHANCE.integers(0, 256, (6, 4, 5), np.uint8)
LABELS = np.arange(6, dtype=np.uint8) % 3
FRAME = Frame(28, 28, 255, 20)
CSV = b"label,a,b,c\r\n" + b"".join(b"%d,%d,1,255\r\n" % (i % 3, i) for i in range(12))
TABLE = b"size,city,price\r\n" + b"".join(
    b'%d.5,"%s, N",%d\r\n' % (i, (b"Oslo", b"Bern")[i % 2], 3 * i) for i in range(12)
)
COLUMNS = (
    Column("size", 5.0, 2.0),
    Column("city", 0.0, 1.0, None, ("Bern, N", "Oslo, N")),
)
LOG = (
    b"epoch,train_loss,train_accuracy,validation_loss,validation_accuracy,test_loss,"
    b"test_accuracy,seconds\n1,2.3,0.1,,,2.1,0.3,0.5\n2,2.2,0.2,,,1.1,0.5,1.5\n"
)


def idx(values: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, values.ndim])
    return header + b"".join(n.to_bytes(4) for n in values.shape) + values.tobytes()


@cache
def archives() -> list[bytes]:
    arrays = {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES * 1.0}
    streams = io.BytesIO(), io.BytesIO()
    np.savez(streams[0], **arrays, y_test=LABELS)
    np.savez_compressed(streams[1], **arrays, y_test=LABELS)
    return [stream.getvalue() for stream in streams]


@cache
def images_archive() -> list[bytes]:
    stream = io.BytesIO()
    np.savez(stream, x=IMAGES)
    return [stream.getvalue()]


@cache
def pictures(kind: str) -> list[bytes]:
    """Return small pictures of a kind, in every mode that it has."""
    grey = np.zeros((40, 30), np.uint8)
    grey[8:32, 12:17] = CHANCE.integers(150, 256, (24, 5))
    plain = Image.fromarray(grey)
    modes = {"PNG": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"], "JPEG": ["L", "CMYK"]}
    modes |= {"BMP": ["1", "L", "P", "RGB", "RGBA"], "GIF": ["L", "P"]}
    found = []
    exif = Image.Exif()
    exif[0x112] = 6
    more = {"exif": exif} if kind in ("PNG", "JPEG") else {}
    for mode in modes.get(kind, ["1", "L", "RGB"]):
        image = plain.convert(mode) if mode != "I;16" else Image.fromarray(grey * 200)
        stream = io.BytesIO()
        image.save(stream, kind, **more)
        found.append(stream.getvalue())
    if kind == "JPEG":
        stream = io.BytesIO()
        plain.convert("RGB").save(stream, kind, progressive=True)
        found.append(stream.getvalue())
    return found


def picture(path: Path) -> None:
    from nnx.data.picture import read

    read(path, FRAME)


@cache
def settings_files() -> list[bytes]:
    import tomli_w

    usual = as_text(complete({}))
    odd: dict[str, Any] = {"hidden": [30, 20], "schedule": "cosine:warmup=2,to=0.001"}
    odd |= {"augment": "shift=2,rotation=15", "class_weights": "balanced"}
    odd |= {"activation": "relu,tanh", "target": ["a", "b"], "init": "normal:0.1"}
    return [tomli_w.dumps(values).encode() for values in (usual, odd)]


def network() -> Network:
    return Network([20, 4, 3]).replace(frame=Frame(4, 5, 255, 4), classes=tuple("012"))


def saved(network: Network, save: Callable[..., Any], name: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        save(network, path)
        return path.read_bytes()


@cache
def models() -> list[bytes]:
    table = Network([3, 2]).replace(
        task="regression",
        classes=(),
        columns=COLUMNS,
        targets=(nnx.data.dataset.Target("price"), nnx.data.dataset.Target("tax")),
    )
    return [saved(each, Network.save, "m.safetensors") for each in (network(), table)]


def used(network: Network) -> None:
    network.predict(np.zeros((2, network.sizes[0]), np.float32))
    str(network)


@cache
def run() -> tuple[Run, bytes]:
    """Return a run that is done, and its checkpoint."""
    split = Split(IMAGES.reshape(6, 20), LABELS.astype(np.int64))
    data = Dataset("squares", split, split, tuple("012"), Frame(4, 5, 255, 4))
    with tempfile.TemporaryDirectory() as folder:
        settings = complete({"epochs": 1, "optimizer": "adam", "hidden": [4]})
        begun = Run(network(), data, settings, backend="numpy", out=folder)
        begun.follow()
        return begun, Path(folder, nnx.model_file.CHECKPOINT_NAME).read_bytes()


@cache
def tables() -> list[bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"size": [i + 0.5 for i in range(12)], "city": ["Oslo, N", "Bern, N"] * 6}
    columns |= {"price": [3 * i for i in range(12)], "new": [True, False] * 6}
    table, found = pa.table(columns), []
    for packed, version, dictionary in (
        ("none", "1.0", False), ("snappy", "1.0", True), ("zstd", "2.0", True),
        ("gzip", "2.0", False), ("lz4", "1.0", True), ("brotli", "2.0", False),
    ):  # fmt: skip
        stream = io.BytesIO()
        pq.write_table(
            table,
            stream,
            compression=packed,
            data_page_version=version,
            use_dictionary=dictionary,
            row_group_size=7,
        )
        found.append(stream.getvalue())
    return found


@cache
def arrays() -> list[bytes]:
    table = np.zeros(12, [("label", "u1"), ("a", "u1"), ("b", "u1")])
    table["label"], table["a"] = np.arange(12) % 3, np.arange(12)
    found = []
    for array in table, table.astype([("label", "f4"), ("a", "f8"), ("b", "u1")]):
        stream = io.BytesIO()
        np.save(stream, array)
        found.append(stream.getvalue())
    return found


def read_file(data: Dataset) -> None:
    """Read all that a data set has in a file."""
    for part in data.parts:
        assert len(np.asarray(part.images)) == len(part.labels)


@cache
def state_dicts() -> list[bytes]:
    from safetensors.numpy import save

    def plain(network: Network, path: Path) -> None:
        weight, bias = network.layers[0]
        first = {"fc1.weight": weight.T.copy(), "fc1.bias": bias}
        path.write_bytes(save({**first, "fc2.weight": np.ones((3, 4), np.float16)}))

    return [saved(network(), plain, "w")]


@cache
def torch_files() -> list[bytes]:
    import torch

    weights = {"0.weight": torch.ones(4, 20), "0.bias": torch.zeros(4)}
    weights["2.weight"] = torch.ones(3, 4)
    stream = io.BytesIO()
    torch.save({"state_dict": weights, "epoch": 3}, stream)
    return [stream.getvalue()]


@cache
def exported() -> list[bytes]:
    return [saved(network(), nnx.export.pytorch, "w.safetensors")]


def read_all(blocks: Any) -> None:
    for block in blocks:
        assert block.images.ndim == 2


def weights(path: Path) -> None:
    used(nnx.from_pytorch(path, "relu"))


PARSERS = {
    "idx-images": Parser("", lambda: [idx(IMAGES)], read_images),
    "idx-labels": Parser("", lambda: [idx(LABELS)], read_labels),
    "idx-images-gz": Parser(
        ".gz", lambda: [gzip.compress(idx(IMAGES), mtime=0)], read_images, seals.gz
    ),
    "idx-labels-gz": Parser(
        ".gz", lambda: [gzip.compress(idx(LABELS), mtime=0)], read_labels, seals.gz
    ),
    "csv-pictures": Parser(
        ".csv", lambda: [CSV], partial(csv_sets.load_file, name="mine")
    ),
    "csv-table": Parser(".csv", lambda: [TABLE], partial(load, target="price")),
    "csv-rows": Parser(
        ".csv",
        lambda: [TABLE],
        lambda path: read_all(unlabelled.of_columns(path, COLUMNS, "price")),
    ),
    "csv-pixels": Parser(
        ".csv",
        lambda: [CSV, b"0,7,255\n3,1.5,9\n" * 5],
        lambda path: read_all(unlabelled.of_pixels(path, 3, 255)),
    ),
    "csv-log": Parser(".csv", lambda: [LOG], lambda path: read_log(path)),
    "npz": Parser(".npz", archives, partial(npz.load, name="mine"), seals.archive),
    "npz-pixels": Parser(
        ".npz",
        images_archive,
        lambda path: read_all(unlabelled.of_pixels(path, 20, 255)),
        seals.archive,
    ),
    "npy-pictures": Parser(
        ".npy", lambda: arrays()[:1], lambda path: read_file(load(path))
    ),
    "npy-table": Parser(".npy", arrays, lambda path: read_file(load(path, target="a"))),
    "npy-rows": Parser(
        ".npy",
        arrays,
        lambda path: read_all(unlabelled.of_columns(path, [Column("a")], "b")),
    ),
    "parquet-table": Parser(".parquet", tables, partial(load, target="price")),
    "parquet-rows": Parser(
        ".parquet",
        tables,
        lambda path: read_all(unlabelled.of_columns(path, COLUMNS, "price")),
    ),
    **{
        kind.lower(): Parser(f".{kind.lower()}", partial(pictures, kind), picture, seal)
        for kind, seal in (
            ("PNG", seals.png), ("JPEG", mutated), ("BMP", mutated), ("GIF", mutated),
            ("PPM", mutated),
        )
    },
    "toml": Parser(
        ".toml",
        settings_files,
        lambda path: complete(files.read_toml(path), str(path)),
    ),
    "model": Parser(
        ".safetensors", models, lambda path: used(Network.load(path)), seals.safetensors
    ),
    "checkpoint": Parser(
        ".safetensors",
        lambda: [run()[1]],
        lambda path: checkpoint.load(path, run()[0]),
        seals.safetensors,
    ),
    "pytorch-safetensors": Parser(".safetensors", state_dicts, weights),
    "pytorch-ours": Parser(
        ".safetensors",
        exported,
        lambda path: used(nnx.from_pytorch(path)),
        seals.safetensors,
    ),
    "pytorch-pt": Parser(".pt", torch_files, weights, seals.archive),
}  # fmt: skip


def read_log(path: Path) -> None:
    from_csv(files.read(path, 1 << 27), str(path))
