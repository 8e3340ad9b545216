import numpy as np
import pytest
from data_files import write_idx_folder

from nnx.data import rows
from nnx.data.dataset import Column, Dataset, Split, Target
from nnx.data.digest import digest
from nnx.data.load import load

TRAIN = Split(np.arange(12, dtype=np.uint8).reshape(4, 3), np.array([0, 1, 0, 1]))
TEST = Split(np.ones((2, 3), np.uint8), np.array([1, 0]))
DATA = Dataset("mine", TRAIN, TEST, ("0", "1"), None)
FLOATS = Split(np.ones((4, 3), np.float32), TRAIN.labels)
TABLE = DATA._replace(columns=(Column("a"), Column("b"), Column("c")))
VALUES = DATA._replace(task="regression", targets=(Target("y"),))


def test_same_content_same_digest(tmp_path, monkeypatch):
    write_idx_folder(tmp_path / "packed")
    write_idx_folder(tmp_path / "plain", suffix="")
    packed = digest(load(tmp_path / "packed"))
    assert len(bytes.fromhex(packed)) == 32
    monkeypatch.setattr(rows, "_BLOCK", 1)
    assert digest(load(tmp_path / "plain")) == packed


@pytest.mark.parametrize(
    "other",
    [
        DATA._replace(train=TEST, test=TRAIN),
        DATA._replace(test=TEST._replace(labels=np.array([1, 1]))),
        DATA._replace(train=TRAIN._replace(images=TRAIN.images[::-1])),
        DATA._replace(train=TRAIN._replace(images=TRAIN.images.reshape(4, 3, 1))),
        DATA._replace(train=TRAIN._replace(images=TRAIN.images.astype(np.float32))),
    ],
)
def test_other_content_other_digest(other):
    assert digest(other) != digest(DATA)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (TABLE, TABLE._replace(columns=(Column("a", 2.0), *TABLE.columns[1:]))),
        (TABLE, TABLE._replace(classes=("1", "0"))),
        (VALUES, VALUES._replace(targets=(Target("y", 2.0),))),
        (VALUES, VALUES._replace(task="multilabel")),
        (
            DATA._replace(train=FLOATS),
            DATA._replace(train=FLOATS._replace(images=FLOATS.images.view(np.int32))),
        ),
    ],
)
def test_what_numbers_stand_for_is_in_the_digest(one, other):
    assert digest(other) != digest(one)


def test_the_order_of_bytes_does_not_matter():
    images = FLOATS.images.astype(">f4")
    swapped = DATA._replace(train=FLOATS._replace(images=images))
    assert digest(swapped) == digest(DATA._replace(train=FLOATS))


def test_names_do_not_matter():
    assert digest(DATA._replace(name="other", notes=("a",))) == digest(DATA)
