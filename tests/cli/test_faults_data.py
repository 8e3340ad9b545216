"""Data that cannot be trained on: one line with the place, and nothing harmed."""

import gzip
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_files import CSV, Attack, csv_folder, idx_folder, npz, samples
from idx_files import idx_bytes

from nnx.data.named import PUBLISHED

Run = Callable[..., Any]

HTML = b"<!DOCTYPE html><title>404</title>"
IMAGES, LABELS = samples(30)
TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = range(4)


@pytest.fixture
def bad_data(refused: Callable[..., str], old_run: Path) -> Callable[..., None]:
    """Train on data in place of an old run, which has to be there afterwards."""

    def bad_data(dataset: object, *says: str) -> None:
        refused(
            "train", "--dataset", dataset, "--out", old_run, "--overwrite", says=says
        )

    return bad_data


@pytest.mark.parametrize(
    ("dataset", "says"),
    [
        (
            "nothing.csv",
            ("nothing.csv: no such file or folder; --dataset names another",),
        ),
        ("mnits", ("mnits: neither a data set nor a path; did you mean mnist?",)),
        ("nope", ("nope: neither a data set nor a path; the data sets are digits, m",)),
        (
            ".",
            (
                "no data in this folder",
                "looked for train-images-idx3-ubyte[.gz]",
                "nnx data fetch mnist",
            ),
        ),
        ("old run/log.csv/x.csv", ("x.csv: no such file or folder",)),
        ("old run/log.jsonl", ("not a kind of file that nnx reads; give a folder",)),
        ("old run/config.toml", ("settings, not data: nnx train --config old run/c",)),
        ("old run", ("not data: nnx train --from old run st", "--out old run --res")),
        ("old run/model.safetensors", ("a trained network", "--out old run --resume")),
        ("squares/t10k-labels-idx1-ubyte", ("give the folder they are in",)),
        (
            "/dev/null",
            ("/dev/null: cannot be read: it is a device, not a regular file",),
        ),
        ("n" * 300, ("File name too long",)),
        ("~nobody-of-this-name/x.csv", ("no such file or folder",)),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_1_a_path_that_is_no_data(
    bad_data: Callable[..., None], dataset: str, says: tuple[str, ...]
) -> None:
    bad_data(dataset, *says)


def test_1_a_table_that_cannot_be_looked_up(
    refused: Callable[..., str], cwd: Path
) -> None:
    (cwd / "loop.csv").symlink_to("loop.csv")
    for table, reason in (
        ("loop.csv", "it is a link without an end"),
        ("n" * 300, "File name too long"),
    ):
        says = f": cannot be read: {reason}"
        refused("train", table, "--target", "x", says=(says,))


def test_1_a_packed_table(
    refused: Callable[..., str], cwd: Path, old_run: Path
) -> None:
    """Kaggle's are, and pandas unpacks them."""
    (cwd / "train.csv.zip").write_bytes(b"PK\3\4")
    says = ("train.csv.zip: packed: unpack it, and give the file inside",)
    refused("train", "train.csv.zip", says=says)
    refused("predict", old_run, "train.csv.zip", says=says, status=1)
    refused("train", "train.csv.zip", "--target", "y", says=says)
    (cwd / "t.csv").write_text("a,y\n" + "1,2\n3,4\n" * 9)
    apart = "--test-data", "train.csv.zip"
    refused("train", "t.csv", "--target", "y", *apart, says=says)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_1_a_folder_that_may_not_be_read(
    bad_data: Callable[..., None], cwd: Path
) -> None:
    (cwd / "closed").mkdir(0o000)
    bad_data("closed/x.csv", "closed/x.csv: cannot be read: Permission denied")


def test_1_a_data_dir_without_the_files(refused: Callable[..., str], cwd: Path) -> None:
    says = ("mnist", "looked for train-images-idx3-ubyte[.gz]", "nnx data fetch mnist")
    refused("train", "--dataset", "mnist", "--data-dir", cwd, says=says)
    says = ("data_dir is for mnist, fashion-mnist, kmnist, not for digits",)
    refused("train", "--data-dir", cwd, says=says)


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        pytest.param(
            TRAIN_IMAGES,
            gzip.compress(idx_bytes(IMAGES))[:-30],
            ("truncated",),
            id="2-gzip-cut-short",
        ),
        pytest.param(
            TRAIN_IMAGES,
            gzip.compress(idx_bytes(IMAGES)[:-30]),
            ("truncated: needs 496 bytes, has 466",),
            id="2-too-few-images",
        ),
        pytest.param(
            TEST_LABELS,
            HTML,
            ("not gzip (starts with '<!DO…')", "the mirror answered with a web page"),
            id="3-web-page",
        ),
        pytest.param(
            TRAIN_IMAGES,
            gzip.compress(idx_bytes(LABELS)),
            (
                "expected images (dimensions: 3, magic 0x00000803)",
                "found labels (dimensions: 1, magic 0x00000801)",
            ),
            id="4-labels-for-images",
        ),
        pytest.param(
            TRAIN_IMAGES,
            gzip.compress(idx_bytes(IMAGES, code=0x0D)),
            ("type code 0x0d", "(0x08)"),
            id="5-floats",
        ),
        pytest.param(
            TEST_IMAGES,
            gzip.compress(idx_bytes(IMAGES, shape=(30, 4, 2, 2))),
            ("dimensions: 4",),
            id="5-four-dimensions",
        ),
        pytest.param(
            TRAIN_IMAGES,
            gzip.compress(idx_bytes(IMAGES, shape=(2**31, 28, 28))),
            ("its header says 1683627180032 bytes", "compressed bytes"),
            id="6-2^31-images",
        ),
        pytest.param(
            TRAIN_IMAGES,
            gzip.compress(idx_bytes(IMAGES) + bytes(1 << 25)),
            ("trailing bytes after the 496 needed",),
            id="7-bomb",
        ),
        pytest.param(
            TRAIN_LABELS,
            gzip.compress(idx_bytes(LABELS) + b"\0"),
            ("trailing bytes after the 38 needed",),
            id="8-a-byte-more",
        ),
        pytest.param(
            TRAIN_LABELS,
            gzip.compress(idx_bytes(LABELS[:29])),
            ("has 30 images", "has 29 labels", "train-images-idx3-ubyte.gz"),
            id="9-counts",
        ),
        pytest.param(
            TEST_LABELS,
            gzip.compress(idx_bytes(np.array([0, 1, 2, 0, 9] + [0] * 7))),
            ("[4]: label 9, expected 0 to 2",),
            id="10-class-not-trained",
        ),
        pytest.param(TRAIN_LABELS, b"", ("no samples", "empty"), id="15-empty"),
        pytest.param(
            TRAIN_IMAGES,
            gzip.compress(idx_bytes(IMAGES[:0])),
            ("no samples: its header says 0 x 4 x 4",),
            id="15-only-a-header",
        ),
        pytest.param(
            TRAIN_LABELS,
            gzip.compress(idx_bytes(np.full(30, 2))),
            ("training needs ≥2 classes",),
            id="16-one-class",
        ),
    ],
)
def test_idx(
    bad_data: Callable[..., None],
    cwd: Path,
    file: int,
    content: bytes,
    says: tuple[str, ...],
) -> None:
    path = idx_folder(cwd / "data", gzip.compress)[file]
    path.write_bytes(content)
    bad_data("data", str(path.relative_to(cwd)), *says)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param(CSV + "1,2\n", ", line 14: 2 columns, but", id="11-ragged"),
        pytest.param(
            CSV + "1,2,x,3\n", ", line 14, column 3: 'x' is not", id="11-a-word"
        ),
        pytest.param(
            CSV + "1,2,,3\n", ", line 14, column 3: empty field", id="11-a-gap"
        ),
        pytest.param(
            CSV.encode("utf-16").decode("latin-1"), "not UTF-8", id="11-utf-16"
        ),
        pytest.param(
            CSV.replace("label", "x"),
            "no label column: usable for predict only",
            id="12-no-label",
        ),
        pytest.param(
            CSV.replace("a,b", "label,b"), "more than one label", id="12-two-labels"
        ),
        pytest.param(CSV[12:], "without a header line it has", id="12-no-header"),
        pytest.param(
            CSV + "1,2,nan,3\n", ", line 14, column 3: pixel value nan", id="13-nan"
        ),
        pytest.param(
            CSV + "1,2,3,-inf\n", ", line 14, column 4: pixel value -inf", id="13-inf"
        ),
        pytest.param(
            CSV + "1,256,3,4\n", "pixel value 256 is outside 0-255", id="13-256"
        ),
        pytest.param(
            CSV + "-1,2,3,4\n", "column 1: label -1 is negative", id="10-less"
        ),
        pytest.param(CSV + "0.5,2,3,4\n", "label 0.5 is not a whole", id="10-half"),
        pytest.param("", "no samples: the file is empty", id="15-empty"),
        pytest.param("label,a\n", "no samples: only a header line", id="15-header"),
        pytest.param("label,a\n" + "0,1\n" * 9, "needs ≥2 classes", id="16-one-class"),
    ],
)
def test_csv(bad_data: Callable[..., None], cwd: Path, text: str, says: str) -> None:
    (cwd / "käse 1.csv").write_bytes(text.encode("latin-1"))
    bad_data("käse 1.csv", "käse 1.csv", says)


def test_14_labels_that_are_not_one_hot(
    bad_data: Callable[..., None], cwd: Path
) -> None:
    two, none = "1,0\n0,1\n1,1\n0,1\n", "1,0\n0,1\n0,0.5\n0,1\n"
    good = "1,0\n0,1\n"
    csv_folder(cwd / "two", train_label=two, test_label=good)
    bad_data("two", "train_label.csv, line 3", "found 2 ones and a sum of 2")
    csv_folder(cwd / "none", train_label=none, test_label=good)
    bad_data("none", "train_label.csv, line 3", "found 0 ones and a sum of 0.5")


def test_20_pickles_in_an_npz_are_not_loaded(
    bad_data: Callable[..., None], cwd: Path
) -> None:
    npz(cwd / "objects.npz", y_train=np.array([Attack(cwd / "attacked")], object))
    bad_data("objects.npz", "objects.npz: y_train: holds pickled Python objects")
    npz(cwd / "bytes.npz", y_train=pickle.dumps(Attack(cwd / "attacked")))
    bad_data("bytes.npz", "bytes.npz: y_train: not a plain array")


def test_6_and_7_an_npz_that_claims_terabytes(
    bad_data: Callable[..., None], cwd: Path
) -> None:
    described = "{'descr': '|u1', 'fortran_order': False, 'shape': (8796093022208,)}"
    header = described.ljust(117).encode() + b"\n"
    claim = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    npz(cwd / "huge.npz", x_train=claim)
    bad_data("huge.npz", "huge.npz: x_train: truncated: needs 879609302", "has 128")
    (cwd / "cut.npz").write_bytes(npz(cwd / "x.npz").read_bytes()[:-40])
    bad_data("cut.npz", "cut.npz: not a whole .npz archive")


def test_11_what_spreadsheets_write_is_read(done: Run, cwd: Path) -> None:
    text = "\ufeff" + CSV.replace(",", ";").replace("\n", "\r\n")
    (cwd / "sheet.csv").write_bytes(text.encode())
    done("train", "--dataset", "sheet.csv", "--epochs", 1, "--out", "new")


def test_13_pixels_from_0_to_1_are_stated(run: Run, cwd: Path) -> None:
    rows = "".join(f"{i % 2},{i / 12:.4f},0.5\n" for i in range(12))
    (cwd / "unit.csv").write_text("label,a,b\n" + rows)
    ran = run("train", "--dataset", "unit.csv", "--epochs", 1, "--out", "new")
    assert ran.returncode == 0
    assert "pixels are already in [0, 1]: not scaled" in ran.stderr


def test_19_read_only_files_are_read_and_not_changed(done: Run, cwd: Path) -> None:
    paths = idx_folder(cwd / "data")
    before = [path.read_bytes() for path in paths]
    for path in paths:
        path.chmod(0o444)
    done("train", "--dataset", "data", "--epochs", 2, "--out", "new")
    assert [path.read_bytes() for path in paths] == before


def test_what_is_there_is_not_fetched(run: Run, cwd: Path) -> None:
    idx_folder(cwd / "sets" / "mnist", gzip.compress)
    there = {"NNX_DATA_DIR": "sets", "HTTPS_PROXY": "http://127.0.0.1:9"}
    ran = run("data", "fetch", "mnist", env=there)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "sets/mnist (NNX_DATA_DIR)" in ran.stdout


def test_22_without_a_network(run: Run, cwd: Path) -> None:
    ran = run("data", "fetch", "mnist")
    assert ran.returncode == 2
    *notes, line = ran.stderr.splitlines()
    assert all(note.startswith("downloading http") for note in notes)
    assert line.startswith("nnx: mnist: no mirror delivered train-images-idx3-ubyte.gz")
    for file in PUBLISHED["mnist"].files:
        assert f"{file.name} (SHA-256 {file.sha256})" in line
    assert "put these by hand into" in line
    assert "--data-dir or NNX_DATA_DIR" in line
    assert list(cwd.iterdir()) == []
