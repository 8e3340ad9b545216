"""Files for the command line to read: good ones, and the pieces of bad ones."""

import gzip
import hashlib
import json
import os
import struct
import tomllib
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from idx_files import IDX_NAMES, idx_bytes
from safetensors.numpy import load as tensors_of
from safetensors.numpy import save as serialize

CSV_NAMES = "train_X.csv", "train_label.csv", "test_X.csv", "test_label.csv"
CSV = "label,a,b,c\n" + "".join(f"{i % 2},{20 * i},0,255\n" for i in range(12))


def samples(count: int, side: int = 4, classes: int = 3) -> list[np.ndarray]:
    """Return random images of side x side pixels, and labels of every class."""
    images = np.random.default_rng(count).integers(0, 256, (count, side, side))
    return [images.astype(np.uint8), (np.arange(count) % classes).astype(np.uint8)]


def idx_folder(folder: Path, pack: Callable[[bytes], bytes] = bytes) -> list[Path]:
    """Write the four files, 30 images to train on and 12 to test; return them."""
    folder.mkdir(parents=True)
    end = ".gz" if pack is gzip.compress else ""
    paths = [folder / (name + end) for name in IDX_NAMES]
    for path, values in zip(paths, samples(30) + samples(12), strict=True):
        path.write_bytes(pack(idx_bytes(values)))
    return paths


def csv_folder(folder: Path, **changed: str) -> Path:
    """Write the four CSV files, some of them changed: train_X="…"."""
    folder.mkdir()
    texts = ["0,9\n9,0\n0,8\n7,0\n", "0\n1\n0\n1\n", "0,7\n8,0\n", "0\n1\n"]
    for name, text in zip(CSV_NAMES, texts, strict=True):
        (folder / name).write_text(changed.get(name.removesuffix(".csv"), text))
    return folder


def npz(path: Path, **changed: Any) -> Path:
    """Write an .npz; changed members are given as arrays, or as .npy bytes."""
    x, y = samples(12)
    members = {"x_train": x, "y_train": y, "x_test": x, "y_test": y} | changed
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, values in members.items():
            content = BytesIO()
            if not isinstance(values, bytes):
                np.save(content, values, allow_pickle=True)
            archive.writestr(f"{name}.npy", content.getvalue() or values)
    return path


def change_model(
    path: Path, description: dict[str, Any] | str, **tensors: np.ndarray
) -> None:
    """Write a model file again with another description, or tensors replaced."""
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + struct.unpack("<Q", content[:8])[0]])
    if isinstance(description, dict):
        said = json.loads(header["__metadata__"]["nnx"]) | description
        description = json.dumps(said)
    arrays = tensors_of(content) | tensors
    path.write_bytes(serialize(arrays, {"nnx": description}))


def config(folder: Path) -> dict[str, Any]:
    """Return the settings that a run's folder holds, as they are written."""
    return tomllib.loads((folder / "config.toml").read_text("utf-8"))


def tree(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file under a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else "folder"
        for path in folder.rglob("*")
    }


class Attack:
    """What a pickle can do to whoever loads it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return os.mkdir, (str(self.path),)
