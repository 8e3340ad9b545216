"""A folder with the four IDX files under their published names."""

from pathlib import Path

from nnx.data.assemble import assemble
from nnx.data.dataset import Dataset, RawArray, RawSplit
from nnx.data.idx import read_images, read_labels
from nnx.errors import InputError

# The published names, without the .gz.
STEMS = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
EXPECTED = ", ".join(f"{stem}[.gz]" for stem in STEMS)


def find(folder: Path) -> dict[str, Path]:
    """Return the paths of those of the four files that exist, by published name.

    An unpacked file is preferred to a .gz, because it is mapped instead of read.
    """
    files: dict[str, Path] = {}
    for stem in STEMS:
        unpacked = stem, stem.replace("-idx", ".idx")  # some unpackers use a dot
        for name in (*unpacked, *(f"{name}.gz" for name in unpacked)):
            if stem not in files and (folder / name).is_file():
                files[stem] = folder / name
    return files


def load(folder: Path, name: str, classes: tuple[str, ...] | None = None) -> Dataset:
    """Return the labeled images of the four IDX files in a folder.

    classes: the names of the classes; None: numbers up to the largest training label

    Raises:
        InputError: a file is missing or not IDX, or the files do not fit each other
    """
    files = find(folder)
    missing = [f"{stem}[.gz]" for stem in STEMS if stem not in files]
    if missing:
        raise InputError(f"{folder}: missing {', '.join(missing)}")
    paths = [files[stem] for stem in STEMS]
    train, size = _read(*paths[:2])
    test, _ = _read(*paths[2:])
    return assemble(name, train, test, size=size, classes=classes)


def _read(images: Path, labels: Path) -> tuple[RawSplit, tuple[int, int]]:
    pixels, size = read_images(images)
    numbers = read_labels(labels)
    split = RawSplit(
        RawArray(pixels, str(images), lambda row, _: f"{images}[{row}]"),
        RawArray(numbers, str(labels), lambda row, _: f"{labels}[{row}]"),
    )
    return split, size
