import numpy as np
import pytest

from nnx.data.dataset import RawArray
from nnx.data.labels import class_numbers, require_two
from nnx.errors import InputError


def numbers(values):
    values = np.asarray(values)
    return class_numbers(RawArray(values, "file", lambda row, column: f"file[{row}]"))


@pytest.mark.parametrize(
    "values",
    [
        [2, 0, 1],
        [2.0, 0.0, 1.0],
        np.array([2, 0, 1], np.uint8),
        [[2], [0], [1]],
        [[0, 0, 1], [1, 0, 0], [0, 1, 0]],
        [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
        np.eye(3, dtype=bool)[[2, 0, 1]],
    ],
)
def test_every_form_of_label(values):
    labels = numbers(values)
    assert labels.dtype == np.int64
    assert labels.tolist() == [2, 0, 1]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([0, -1, 2], r"file\[1\]: label -1 is negative"),
        ([0, 1, 3.5], r"file\[2\]: label 3.5 is not a whole number"),
        ([0, np.nan], r"file\[1\]: label nan is not a number"),
        ([np.inf, 1], r"file\[0\]: label inf is not a number"),
        ([0, 1000], r"file\[1\]: label 1000 is too high"),
        (np.array([0, 2**63], np.uint64), r"file\[1\]: label 9.22337e\+18 is too high"),
        ([[1, 0], [0, 0]], r"file\[1\]: not one-hot.*found 0 ones"),
        ([[1, 0, 0], [0, 1, 1]], r"file\[1\]: not one-hot.*found 2 ones"),
        ([[1, 0], [1, 0.5]], r"file\[1\]: not one-hot.*sum of 1.5"),
        ([[1, 0], [np.nan, 1]], r"file\[1\]: not one-hot"),
        (np.zeros((2, 1001)), "one-hot labels of 1001 classes"),
    ],
)
def test_refuses_by_row_and_value(values, said):
    with pytest.raises(InputError, match=said):
        numbers(values)


def test_one_class_is_refused():
    with pytest.raises(
        InputError, match="file: training needs ≥2 classes, found only class 7"
    ):
        require_two(np.array([7, 7]), "file")
