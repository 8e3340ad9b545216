"""A folder of pictures, with one subfolder per class."""

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from nnx.data.assemble import assemble
from nnx.data.dataset import Dataset, Frame, RawArray, RawSplit, Split
from nnx.data.labels import MAX_CLASSES
from nnx.data.split import made_like
from nnx.data.tabular import listed
from nnx.errors import InputError
from nnx.files import readable

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pgm", ".pbm", ".ppm", ".pnm")
FRAME = Frame(28, 28, 255, 20)
AS_DRAWINGS = (
    f"every picture becomes a light shape on black, of {FRAME.width}x{FRAME.height} "
    "pixels, as nnx predict prepares it; to learn from color or more pixels, give an "
    ".npz with each picture's numbers as a row of x_train"
)
_HIDDEN = ".", "__MACOSX"  # which macOS adds to the archives that it packs
_LAYOUT = "give a subfolder per class, or folders train and test that each have them"


def load(folder: Path, name: str) -> Dataset:
    """Return the pictures of DIR/<class>, or of DIR/train/<class> and DIR/test/<class>.

    The classes are the subfolders of the training part, sorted as numbers if all are
    numbers. Every picture is prepared as for prediction, with 28 x 28 pixels.

    Raises:
        InputError: a class has no pictures, a test class is not in the training part,
            or a picture cannot be read
    """
    with readable(folder):
        parted = _is_parted(folder)
        root = folder / "train" if parted else folder
        classes = _classes(root)
        train, notes = _read(root, classes, FRAME)
        test = None
        if parted:
            unknown = sorted(set(_subfolders(folder / "test")) - set(classes))
            if unknown:
                where = folder / "test" / unknown[0]
                raise InputError(
                    f"{where}: the training pictures have no class of this name"
                )
            test, test_notes = _read(folder / "test", classes, FRAME)
            notes += test_notes
            if others := sorted({*_subfolders(folder)} - {"train", "test"}):
                notes += (
                    f"{folder}: not read beside train and test: {listed(others)}",
                )
    size = FRAME.height, FRAME.width
    notes += (AS_DRAWINGS,)
    return assemble(name, train, test, size=size, classes=classes, notes=notes)


def load_like(folder: Path, like: Any) -> Dataset:
    """Return all pictures of a folder, to test a network that was trained on others.

    Of a folder with train/ and test/, they are those of test/. They are prepared as for
    the network's predictions. There may be pictures of some of its classes only.

    like: the network, or a data set

    Raises:
        InputError: a class is not the network's or has no pictures, or a picture cannot
            be read
    """
    with readable(folder):
        root = folder / "test" if _is_parted(folder) else folder
        if not (names := _subfolders(root)):
            raise InputError(f"{root}: no subfolders; {_LAYOUT}")
        if unknown := sorted({*names} - {*like.classes}):
            raise InputError(
                f"{root / unknown[0]}: the network has no class of this name; its "
                f"classes are {listed(like.classes)}"
            )
        (images, labels), notes = _read(root, like.classes, like.frame)
    split = Split(images.values, labels.values)
    name, source = folder.resolve().name, str(folder.absolute())
    return made_like(like, name, split, split, notes=notes, source=source)


def holds_pictures(folder: Path) -> bool:
    """Return whether a folder has pictures in its subfolders, as `load` expects."""
    files = chain(folder.glob("*/*"), folder.glob("train/*/*"))
    return any(path.suffix.lower() in SUFFIXES for path in files)


def relative_paths(folder: Path) -> set[Path]:
    """Return the paths, relative to the folder, of all pictures in either layout."""
    below = chain(folder.glob("*/*"), folder.glob("*/*/*"))
    places = {path.relative_to(folder) for path in below}
    return {
        place
        for place in places
        if place.suffix.lower() in SUFFIXES
        and not any(part.startswith(_HIDDEN) for part in place.parts)
    }


def pictures_in(folder: Path) -> list[Path]:
    """Return the pictures of a folder, not of its subfolders, in the order of names.

    Raises:
        InputError: the folder cannot be read
    """
    with readable(folder):
        return [path for path in _files(folder) if _is_picture(path)]


def _files(folder: Path) -> list[Path]:
    """Return what is in a folder, in the order of names, and not hidden.

    macOS adds hidden files that are named like the pictures.
    """
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _is_parted(folder: Path) -> bool:
    return all((folder / part).is_dir() for part in ("train", "test"))


def _subfolders(folder: Path) -> list[str]:
    names = (path.name for path in folder.iterdir() if path.is_dir())
    return [name for name in names if not name.startswith(_HIDDEN)]


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()


def _classes(folder: Path) -> tuple[str, ...]:
    names = _subfolders(folder)
    numeric = all(name.isdecimal() for name in names)
    classes = tuple(sorted(names, key=lambda name: (int(name) if numeric else 0, name)))
    if not 2 <= len(classes) <= MAX_CLASSES:
        count = len(classes) if classes[1:] else f"only {', '.join(classes) or 'files'}"
        raise InputError(
            f"{folder}: needs ≥2 classes, at most {MAX_CLASSES}, found {count}; "
            f"{_LAYOUT}"
        )
    return classes


def _read(
    folder: Path, classes: tuple[str, ...], frame: Frame
) -> tuple[RawSplit, tuple[str, ...]]:
    """Return each class's pictures, and notes on other files and empty pictures."""
    # Imported here because of Pillow, which no other source of data needs.
    from nnx.data import picture

    pictures: list[Path] = []
    labels: list[int] = []
    ignored: list[Path] = []
    for label, name in enumerate(classes):
        if not (folder / name).is_dir():  # pictures for testing may lack classes
            continue
        inside = _files(folder / name)
        of_class = [path for path in inside if _is_picture(path)]
        if not of_class:
            raise InputError(
                f"{folder / name}: no pictures ({', '.join(SUFFIXES)}); {_LAYOUT}"
            )
        pictures += of_class
        labels += [label] * len(of_class)
        ignored += sorted({*inside} - {*of_class})
    read = [picture.read(path, frame).pixels for path in pictures]
    pixels = np.array(read).reshape(len(read), frame.height * frame.width)
    notes = list[str]()
    if ignored:
        notes += [
            f"{folder}: not read: {len(ignored):,}, such as {ignored[-1]}; pictures "
            f"are files that end in {', '.join(SUFFIXES)}"
        ]
    empty = np.flatnonzero(~pixels.any(axis=1))
    if len(empty):
        more = ", …" if len(empty) > 1 else ""
        notes += [
            f"in {len(empty):,} of {len(pictures):,} pictures nothing stands out, so "
            f"all is 0: {pictures[empty[0]]}{more}"
        ]

    def place(row: int, _: int) -> str:
        return str(pictures[row])

    images = RawArray(pixels, str(folder), place)
    split = RawSplit(images, RawArray(np.array(labels, np.int64), str(folder), place))
    return split, tuple(notes)
