"""The data sets with names: their classes, files, checksums and mirrors."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nnx.data import idx_folder
from nnx.data.dataset import Dataset, Frame, Split
from nnx.data.split import hold_out


class File(NamedTuple):
    """A published file; size in bytes, sha256 in hexadecimal."""

    name: str
    size: int
    sha256: str


class NamedSet(NamedTuple):
    """A published data set; each mirror is a URL to which file names are appended."""

    classes: tuple[str, ...]
    mirrors: tuple[str, ...]
    files: tuple[File, ...]


def _files(*published: tuple[int, str]) -> tuple[File, ...]:
    pairs = zip(idx_folder.STEMS, published, strict=True)
    return tuple(File(f"{stem}.gz", *rest) for stem, rest in pairs)


_MNIST = NamedSet(
    classes=tuple("0123456789"),
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://raw.githubusercontent.com/fgnt/mnist/master/",
    ),
    files=_files(
        (9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
        (28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
        (1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
        (4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    ),
)

_CLOTHES = "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot"
_FASHION = NamedSet(
    classes=tuple(_CLOTHES.split(",")),
    mirrors=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    files=_files(
        (26421880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
        (29515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
        (4422102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
        (5148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
    ),
)

_KMNIST = NamedSet(
    classes=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    mirrors=(
        "https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
    ),
    files=_files(
        (18165135, "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4"),
        (29497, "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17"),
        (3041136, "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5"),
        (5120, "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c"),
    ),
)

PUBLISHED = {"mnist": _MNIST, "fashion-mnist": _FASHION, "kmnist": _KMNIST}
NAMES = ("digits", *PUBLISHED)


def owner(folder: Path) -> str | None:
    """Return the published set that a folder's compressed training labels belong to.

    The files of all sets have the same names and differ only in content.
    """
    labels = idx_folder.find(folder).get("train-labels-idx1-ubyte")
    if labels is None:
        return None
    for name, known in PUBLISHED.items():
        published = known.files[1]
        if labels.stat().st_size != published.size:  # avoids reading a large file
            continue
        if hashlib.sha256(labels.read_bytes()).hexdigest() == published.sha256:
            return name
    return None


def digits() -> Dataset:
    """Return the 1,797 digits of 8 x 8 pixels that come with nnx; see digits.txt.

    A fifth of them, always the same images, is held out for testing.
    """
    with np.load(Path(__file__).with_name("digits.npz")) as file:
        whole = Split(file["images"], file["labels"].astype(np.int64))
    (train, test), note = hold_out(whole, 5)
    frame = Frame(8, 8, maximum=16, box=8)
    classes = tuple("0123456789")
    return Dataset("digits", train, test, classes, frame, (note,), source="digits")
