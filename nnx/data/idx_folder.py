"""A folder that holds the four IDX files under their published names."""

from pathlib import Path

from nnx.data.assemble import assemble
from nnx.data.dataset import Dataset
from nnx.data.found import Found, Part
from nnx.data.idx import read_images, read_labels
from nnx.errors import InputError

# The published names, and the form that some tools unpack them to.
STEMS = {
    "train-images-idx3-ubyte": "train-images.idx3-ubyte",
    "train-labels-idx1-ubyte": "train-labels.idx1-ubyte",
    "t10k-images-idx3-ubyte": "t10k-images.idx3-ubyte",
    "t10k-labels-idx1-ubyte": "t10k-labels.idx1-ubyte",
}


def find(folder: Path) -> dict[str, Path]:
    """Return which of the four files the folder holds, by published name.

    An unpacked file is preferred to a .gz: it is mapped, and not read.
    """
    candidates = {
        stem: [folder / f"{name}{end}" for end in ("", ".gz") for name in (stem, other)]
        for stem, other in STEMS.items()
    }
    return {
        stem: next(path for path in paths if path.is_file())
        for stem, paths in candidates.items()
        if any(path.is_file() for path in paths)
    }


def load(folder: Path, name: str, classes: tuple[str, ...] | None = None) -> Dataset:
    """Return the labelled images of the four IDX files in a folder.

    classes: the names of the classes; where None, as many as the labels need
    refused: a missing file, files that are not IDX or do not fit each other
    """
    files = find(folder)
    missing = [f"{stem}[.gz]" for stem in STEMS if stem not in files]
    if missing:
        raise InputError(f"{folder}: missing {', '.join(missing)}")
    paths = [files[stem] for stem in STEMS]
    train, size = _read(*paths[:2])
    test, _ = _read(*paths[2:])
    return assemble(name, train, test, size=size, classes=classes)


def _read(images: Path, labels: Path) -> tuple[Part, tuple[int, int]]:
    pixels, size = read_images(images)
    part = Part(
        Found(pixels, str(images), lambda row, column: f"{images}[{row}]"),
        Found(read_labels(labels), str(labels), lambda row, column: f"{labels}[{row}]"),
    )
    return part, size
