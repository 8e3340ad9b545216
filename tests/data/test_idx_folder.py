import gzip

import numpy as np
import pytest
from data_files import write_idx_folder
from idx_files import IDX_NAMES, idx_bytes

from nnx.data.dataset import Frame
from nnx.data.idx_folder import load
from nnx.errors import InputError


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_loads_a_folder(tmp_path, suffix):
    x, y, test_x, test_y = write_idx_folder(
        tmp_path, suffix=suffix, height=28, width=28
    )
    data = load(tmp_path, "mine")
    np.testing.assert_array_equal(data.train.images, x.reshape(len(x), -1))
    np.testing.assert_array_equal(data.test.images, test_x.reshape(len(test_x), -1))
    np.testing.assert_array_equal(data.train.labels, y)
    np.testing.assert_array_equal(data.test.labels, test_y)
    assert data.train.labels.dtype == np.int64
    assert data.train.images.dtype == np.uint8
    assert data.frame == Frame(28, 28, 255, 20)
    assert data.classes == ("0", "1", "2")
    assert data.name == "mine"


def test_dotted_names_and_rectangles(tmp_path):
    write_idx_folder(tmp_path, suffix="")
    for name in IDX_NAMES:
        dotted = name.replace("-idx", ".idx")
        (tmp_path / name).rename(tmp_path / dotted)
    assert load(tmp_path, "mine").frame == Frame(4, 5, 255, 4)


def test_unpacked_is_preferred(tmp_path):
    write_idx_folder(tmp_path, suffix="")
    for name in IDX_NAMES:
        (tmp_path / f"{name}.gz").write_bytes(b"never read")
    assert isinstance(load(tmp_path, "mine").train.images, np.memmap)


def test_missing_files_are_named(tmp_path):
    write_idx_folder(tmp_path)
    (tmp_path / f"{IDX_NAMES[1]}.gz").unlink()
    (tmp_path / f"{IDX_NAMES[2]}.gz").unlink()
    with pytest.raises(InputError, match=f"{IDX_NAMES[1]}.*{IDX_NAMES[2]}") as caught:
        load(tmp_path, "mine")
    assert IDX_NAMES[0] not in str(caught.value)


def test_counts_that_differ_are_both_said(tmp_path):
    _, labels, *_ = write_idx_folder(tmp_path)
    (tmp_path / f"{IDX_NAMES[1]}.gz").write_bytes(gzip.compress(idx_bytes(labels[1:])))
    said = f"{IDX_NAMES[0]}.gz has 12 images, but .*{IDX_NAMES[1]}.gz has 11 labels"
    with pytest.raises(InputError, match=said):
        load(tmp_path, "mine")


@pytest.mark.parametrize("side", [3, 5])
def test_test_images_of_another_size(tmp_path, side):
    write_idx_folder(tmp_path)
    (tmp_path / f"{IDX_NAMES[2]}.gz").write_bytes(
        gzip.compress(idx_bytes(np.ones((6, side, side))))
    )
    with pytest.raises(InputError, match=f"{side**2} pixels per image, but .* has 20"):
        load(tmp_path, "mine")


@pytest.mark.parametrize(
    ("file", "row", "label", "classes", "said"),
    [
        (1, 4, 11, 10, r"idx1-ubyte.gz\[4\]: label 11, expected 0 to 9"),
        (3, 2, 3, None, r"t10k-labels.*\[2\]: label 3, expected 0 to 2"),
    ],
)
def test_labels_out_of_range(tmp_path, file, row, label, classes, said):
    arrays = write_idx_folder(tmp_path)
    arrays[file][row] = label
    (tmp_path / f"{IDX_NAMES[file]}.gz").write_bytes(
        gzip.compress(idx_bytes(arrays[file]))
    )
    names = tuple(map(str, range(classes))) if classes else None
    with pytest.raises(InputError, match=said):
        load(tmp_path, "mine", names)


def test_one_class_only(tmp_path):
    _, labels, *_ = write_idx_folder(tmp_path)
    (tmp_path / f"{IDX_NAMES[1]}.gz").write_bytes(
        gzip.compress(idx_bytes(np.full_like(labels, 7)))
    )
    with pytest.raises(InputError, match="needs ≥2 classes, found only class 7"):
        load(tmp_path, "mine")
