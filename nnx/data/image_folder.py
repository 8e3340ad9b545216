"""A folder of pictures, with one subfolder per class."""

from itertools import chain
from pathlib import Path

import numpy as np

from nnx.data.assemble import assemble
from nnx.data.dataset import Dataset, Frame
from nnx.data.files import readable
from nnx.data.found import Found, Part
from nnx.data.labels import MOST_CLASSES
from nnx.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pgm", ".pbm", ".ppm", ".pnm")
FRAME = Frame(28, 28, 255, 20)


def load(folder: Path, name: str) -> Dataset:
    """Return the pictures of DIR/<class>, or of DIR/train/<class> and DIR/test/<class>.

    The classes are the subfolders of the training part, sorted, as numbers where all
    are. Every picture becomes one of 28 x 28 pixels, as for predicting.

    refused: a class without pictures, a test class that is not trained, bad pictures
    """
    with readable(folder):
        parts = [folder / "train", folder / "test"]
        parted = all(part.is_dir() for part in parts)
        classes = _classes(parts[0] if parted else folder)
        train, notes = _read(parts[0] if parted else folder, classes)
        test = None
        if parted:
            _check_known(parts[1], classes)
            test, more = _read(parts[1], classes)
            notes += more
    size = FRAME.height, FRAME.width
    return assemble(name, train, test, size=size, classes=classes, notes=notes)


def holds_pictures(folder: Path) -> bool:
    """Return whether there are pictures where this layout has them."""
    found = chain(folder.glob("*/*"), folder.glob("train/*/*"))
    return any(path.suffix.lower() in SUFFIXES for path in found)


def _subfolders(folder: Path) -> list[str]:
    found = (path.name for path in folder.iterdir() if path.is_dir())
    return [name for name in found if not name.startswith(".")]


def _classes(folder: Path) -> tuple[str, ...]:
    names = _subfolders(folder)
    numeric = all(name.isdecimal() for name in names)
    classes = tuple(sorted(names, key=lambda name: (int(name) if numeric else 0, name)))
    if not 2 <= len(classes) <= MOST_CLASSES:
        found = len(classes) if classes[1:] else f"only {', '.join(classes) or 'files'}"
        raise InputError(
            f"{folder}: needs ≥2 classes, at most {MOST_CLASSES}, found {found}; "
            "give a subfolder per class, or train and test with those in each"
        )
    return classes


def _check_known(folder: Path, classes: tuple[str, ...]) -> None:
    unknown = sorted(set(_subfolders(folder)) - set(classes))
    if unknown:
        raise InputError(f"{folder / unknown[0]}: no class of this name is trained")


def _read(folder: Path, classes: tuple[str, ...]) -> tuple[Part, tuple[str, ...]]:
    # Here, because it brings Pillow, which no other source of data needs.
    from nnx.data import picture

    files: list[Path] = []
    labels: list[int] = []
    ignored = 0
    for label, name in enumerate(classes):
        found, others = _pictures(folder / name)
        files += found
        labels += [label] * len(found)
        ignored += others
    pixels = np.empty((len(files), FRAME.height * FRAME.width), np.uint8)
    for row, file in enumerate(files):
        pixels[row] = picture.read(file, FRAME).pixels.reshape(-1)
    notes = (f"{folder}: files ignored that are not pictures: {ignored}",)
    part = Part(
        Found(pixels, str(folder), lambda row, column: str(files[row])),
        Found(np.array(labels, np.int64), str(folder), lambda row, _: str(files[row])),
    )
    return part, notes if ignored else ()


def _pictures(folder: Path) -> tuple[list[Path], int]:
    """Return the pictures of one class, sorted, and how many other files there are."""
    if not folder.is_dir():  # a test part need not show every class
        return [], 0
    files = sorted(path for path in folder.iterdir() if path.is_file())
    pictures = [path for path in files if path.suffix.lower() in SUFFIXES]
    if not pictures:
        raise InputError(f"{folder}: no pictures ({', '.join(SUFFIXES)})")
    return pictures, len(files) - len(pictures)
