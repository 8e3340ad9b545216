"""Finding and loading data by name or path."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

from nnx import files
from nnx.data import csv_sets, idx_folder, image_folder, npy, npz
from nnx.data.dataset import IN_MEMORY, Dataset, TableOptions
from nnx.data.download import fetch
from nnx.data.named import NAMES, PUBLISHED, digits, owner
from nnx.data.read_table import KINDS as TABLES
from nnx.data.read_table import TEXTS
from nnx.data.table_like import AS_TRAINED, load_parts_like
from nnx.data.table_options import checked
from nnx.data.table_set import load_table
from nnx.data.tabular import NoPicturesError
from nnx.errors import InputError, in_few_words, nearest
from nnx.files import readable, refuse_packed

_KINDS = (
    "a folder of IDX files, a CSV file with a label column, a table with a target, "
    "a folder of "
    f"{', '.join(csv_sets.FOLDER)}, an .npz with {', '.join(npz.KEYS)}, "
    "a folder of .npy files of these names, "
    "or a folder of pictures in one subfolder per class"
)
VARIABLE = "NNX_DATA_DIR"
_MOST_BESIDE = 5000
_NETWORK = ".safetensors"  # the suffix of networks' files

PathLike: TypeAlias = str | os.PathLike[str]


class MissingDataError(InputError):
    """There are no data of this name or path."""


def load(
    source: PathLike,
    data_dir: PathLike | None = None,
    *,
    target: str | Sequence[str] = (),
    like: Any = None,
    **options: Any,
) -> Dataset:
    """Return the data set of a name or path.

    target: the column of a table to predict, or several; without it, a table must be
        pictures with a column called label
    like: a network that was trained on another table, or that table's data set: this
        table is read as that one was, with the same columns, scales, categories and
        classes, to train the network further or to compare networks
    options: for a table with a target, the settings task, drop, categorical, missing,
        standardize, test_data and validation_data; the last two are paths of tables
        with the same columns

    A published set is searched only in data_dir if that is given; otherwise in the
    folder named by NNX_DATA_DIR, in the cache, and on the set's mirrors. A folder may
    hold the files directly, or in a subfolder with the name of the set.

    Raises:
        InputError: the name or path does not exist, or a file is invalid
    """
    what = "a data set, or its name (nnx.dataset takes arrays and data frames)"
    files.given(source, what)
    table = checked({"target": target, **options})
    if like is not None:
        _check_like(like, options)
    if like is not None or table != TableOptions():
        return _load_table(source, data_dir, table, like)
    if source == "digits" and data_dir is None:
        return digits()
    if source in PUBLISHED:
        name = str(source)
        data = idx_folder.load(_folder(name, data_dir), name, PUBLISHED[name].classes)
        folder = "" if data_dir is None else str(_expanded(data_dir).absolute())
        return data._replace(source=name, data_dir=folder)
    _refuse_data_dir(source, data_dir)
    path = _expanded(source)
    with readable(path):
        if path.is_dir():
            data = _load_folder(path)
        elif path.is_file():
            data = _load_file(path)
        else:
            raise MissingDataError(_missing(source, path))
    return data._replace(source=str(path.absolute()))


def _check_like(like: Any, options: Mapping[str, Any]) -> None:
    """Refuse a `like` without a table's columns, and options that it determines."""
    if not getattr(like, "columns", ()):
        raise InputError(
            "like must be a network that was trained on a table, or a table's data "
            f"set, not {in_few_words(like, 40)}"
        )
    if given := options.keys() & {*AS_TRAINED}:
        raise InputError(
            f"{min(given)} comes with the columns of like: leave {min(given)} out"
        )


def _refuse_data_dir(source: PathLike, data_dir: PathLike | None) -> None:
    if data_dir is not None:
        raise InputError(
            f"data_dir is for {', '.join(PUBLISHED)}, not for {source}: leave it out; "
            "to predict a column of a table, name it as target"
        )


def _load_table(
    source: PathLike, data_dir: PathLike | None, options: TableOptions, like: Any
) -> Dataset:
    """Return the data set of a table with a target."""
    path = _expanded(source)
    if like is None and not options.target:
        usual = TableOptions()._asdict().items()
        given = [name for name, value in usual if getattr(options, name) != value]
        raise InputError(
            f"{given[0]} is for a table: give the column to predict as target"
        )
    if source not in NAMES:
        _refuse_data_dir(source, data_dir)
        with readable(path):
            if not path.exists():
                raise MissingDataError(_missing(source, path))
    if path.suffix.lower() not in TABLES or path.is_dir():
        refuse_packed(path)
        what = "target is for" if like is None else "the network's columns need"
        raise InputError(
            f"{source}: {what} a table in a file: one of {', '.join(TABLES)}"
        )
    paths: dict[str, Any] = {
        name: str(_expanded(other).absolute())
        for name in ("test_data", "validation_data")
        if (other := getattr(options, name))
    }
    options = options._replace(**paths)
    if like is not None:
        return load_parts_like(path, like, options)
    data = load_table(path, path.stem, options)
    return data._replace(source=str(path.absolute()))


def _load_file(path: Path) -> Dataset:
    if path.suffix.lower() in TABLES:
        return _load_pixels(path)
    if path.suffix.lower() == ".npz":
        return npz.load(path, path.stem)
    if path.suffix.lower() == _NETWORK:
        raise InputError(_no_data_but_network(path, path.parent))
    if path.suffix.lower() == ".toml":
        raise InputError(f"{path}: settings, not data: nnx train --config {path}")
    if "ubyte" in path.name:
        raise InputError(f"{path}: one of four IDX files: give the folder they are in")
    refuse_packed(path)
    raise InputError(f"{path}: not a kind of file that nnx reads; give {_KINDS}")


def _load_pixels(path: Path) -> Dataset:
    """Return the samples of a table without a target, which must be pictures."""
    try:
        if path.suffix.lower() in TEXTS:
            return csv_sets.load_file(path, path.stem)
        if path.suffix.lower() == ".npy":
            return npy.load_file(path, path.stem)
        raise NoPicturesError(f"{path}: a table, not pictures")
    except NoPicturesError as error:
        hint = "to predict a column of a table, name it as target"
        raise InputError(f"{error}; {hint}") from None


def is_pictures(source: PathLike) -> bool:
    """Return whether `load` would read this source as a folder of pictures."""
    path = _expanded(source)
    with readable(path):
        return (
            source not in NAMES and path.is_dir() and _reader(path) is image_folder.load
        )


def _reader(folder: Path) -> Callable[[Path, str], Dataset] | None:
    """Return the function that reads the files in a folder; None if it has no data."""
    if idx_folder.find(folder):
        return idx_folder.load
    if any((folder / file).is_file() for file in csv_sets.FOLDER):
        return csv_sets.load_folder
    if any((folder / file).is_file() for file in npy.FOLDER):
        return npy.load_folder
    return image_folder.load if image_folder.holds_pictures(folder) else None


def _load_folder(path: Path) -> Dataset:
    if read := _reader(path):
        return read(path, path.resolve().name)
    if any(path.glob(f"*{_NETWORK}")):
        raise InputError(_no_data_but_network(path, path))
    raise InputError(
        f"{path}: no data in this folder; looked for {idx_folder.EXPECTED}, "
        f"{', '.join(csv_sets.FOLDER)}, {', '.join(npy.FOLDER)}, and subfolders of "
        "pictures; to download a set: nnx data fetch mnist"
    )


def _no_data_but_network(path: Path, folder: Path) -> str:
    is_run = (folder / "config.toml").is_file()
    resume = f", nnx train --out {folder} --resume continues its run" if is_run else ""
    return (
        f"{path}: a trained network, not data: nnx train --from {path} starts a new "
        f"run with its weights{resume}"
    )


def _missing(source: PathLike, path: Path) -> str:
    if source == IN_MEMORY:
        return (
            "this run's data were made in memory: continue from Python, with "
            "nnx.train(…, resume=True), or give --dataset"
        )
    is_name = isinstance(source, str) and path.name == source and not path.suffix
    names = [*NAMES, *_beside(path)] if is_name else _beside(path)
    near = nearest(path.name, names)
    hint = f"; did you mean {path.with_name(near)}?" if near else ""
    if is_name:
        hint = hint or f"; the data sets are {', '.join(NAMES)}"
        return f"{source}: neither a data set nor a path{hint}"
    return f"{path}: no such file or folder{hint}"


def _beside(path: Path) -> list[str]:
    """Return the names in a path's folder, at most `_MOST_BESIDE`."""
    with suppress(OSError):
        return [entry.name for entry in islice(path.parent.iterdir(), _MOST_BESIDE)]
    return []


def _folder(name: str, data_dir: PathLike | None) -> Path:
    """Return the folder of a published set, downloading the set if necessary."""
    if data_dir is not None:
        given = _expanded(data_dir)
        for folder in _holding(name, given):
            return folder
        others = f" (those there are of {whose})" if (whose := owner(given)) else ""
        raise InputError(
            f"{given}: no files of {name}{others}; looked for {idx_folder.EXPECTED} "
            f"here and in {given / name}; to download them: nnx data fetch {name}"
        )
    return in_variable(name) or fetch(name)


def in_variable(name: str) -> Path | None:
    """Return where NNX_DATA_DIR has all files of a published set, or None."""
    if named := os.environ.get(VARIABLE):
        for folder in _holding(name, _expanded(named)):
            if len(idx_folder.find(folder)) == len(idx_folder.STEMS):
                return folder
    return None


def _holding(name: str, data_dir: Path) -> Iterator[Path]:
    """Yield the folders with any of the set's files; skip those of another set."""
    with readable(data_dir):
        for folder in (data_dir / name, data_dir):
            if idx_folder.find(folder) and owner(folder) in (None, name):
                yield folder


def _expanded(path: PathLike) -> Path:
    # Path.expanduser raises for an unknown user; this leaves the path unchanged.
    return Path(os.path.expanduser(files.given(path, "a folder of data")))
