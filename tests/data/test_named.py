import os

import numpy as np
import pytest
from sklearn.datasets import load_digits

from nnx.data.dataset import Frame
from nnx.data.load import load
from nnx.data.named import NAMES, PUBLISHED


def test_digits():
    """They are scikit-learn's, every fifth held out."""
    data, whole = load("digits"), load_digits(return_X_y=True)
    both = (np.concatenate(parts) for parts in zip(data.train, data.test, strict=True))
    rows = [sorted(map(tuple, np.column_stack(each))) for each in (tuple(both), whole)]
    assert rows[0] == rows[1]
    assert data.name == "digits"
    assert data.train.images.shape == (1438, 64)
    assert data.test.images.shape == (359, 64)
    assert data.train.images.dtype == np.uint8
    assert data.train.images.max() == 16
    assert data.train.labels.dtype == np.int64
    assert data.frame == Frame(8, 8, 16, 8)
    assert data.classes == tuple("0123456789")
    # The first test rows, so that the split can never change unnoticed.
    assert data.test.labels[:8].tolist() == [4, 5, 6, 9, 4, 7, 8, 9]


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sets_are_complete(name):
    known = PUBLISHED[name]
    assert len(known.classes) == len(set(known.classes)) == 10
    assert len({file.name for file in known.files}) == 4
    assert all(len(bytes.fromhex(file.sha256)) == 32 for file in known.files)
    assert all(mirror.endswith("/") for mirror in known.mirrors)


def test_checksums_are_all_different():
    sums = [file.sha256 for known in PUBLISHED.values() for file in known.files]
    assert len(set(sums)) == len(sums) == 12
    assert NAMES[0] == "digits"


GIVEN = os.environ.get("NNX_DATA_DIR")


@pytest.mark.skipif(not GIVEN, reason="NNX_DATA_DIR does not name a folder with MNIST")
def test_real_mnist():
    data = load("mnist", GIVEN)
    assert data.train.images.shape == (60_000, 784)
    assert data.test.images.shape == (10_000, 784)
    assert np.bincount(data.test.labels).tolist() == [
        *(980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009)
    ]
    assert round(float(data.train.images.mean()), 2) == 33.32
    assert data.frame == Frame(28, 28, 255, 20)
    assert data.notes == ()
