import io
import struct
import zipfile

import numpy as np
import pytest
from data_files import refusal, samples

from nnx.data import npz
from nnx.data.dataset import Frame
from nnx.data.npz import KEYS, load

X, Y = samples(9, height=16, width=16)
ARRAYS = dict(zip(KEYS, (X, Y, X[:3], Y[:3]), strict=True))


def write(tmp_path, save=np.savez_compressed, **changes):
    path = tmp_path / "set.npz"
    save(path, **{**ARRAYS, **changes})
    return path


def write_members(tmp_path, compression=zipfile.ZIP_DEFLATED, **members):
    """An archive with the bytes of some members replaced."""
    path = tmp_path / "set.npz"
    with zipfile.ZipFile(path, "w", compression) as archive:
        for key, values in ARRAYS.items():
            archive.writestr(f"{key}.npy", members.get(key, npy(values)))
    return path


def npy(values, *, shape=None):
    """The .npy form of an array, with another shape in its header if one is given."""
    stream = io.BytesIO()
    header = np.lib.format.header_data_from_array_1_0(values)
    header["shape"] = values.shape if shape is None else shape
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + values.tobytes()


def refused(path):
    message = refusal(load, path, "mine")
    assert message.startswith(str(path))
    return message


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("shape", [(16, 16), (16, 16, 1), (256,)])
@pytest.mark.parametrize("one_hot", [False, True])
def test_forms_of_the_arrays(tmp_path, save, shape, one_hot):
    x = X.reshape(9, *shape)
    y = np.eye(3)[Y] if one_hot else Y
    path = write(tmp_path, save, x_train=x, y_train=y, x_test=x[:3], y_test=y[:3])
    data = load(path, "mine")
    np.testing.assert_array_equal(data.train.images, X.reshape(9, -1))
    np.testing.assert_array_equal(data.test.images, X[:3].reshape(3, -1))
    assert data.train.labels.tolist() == Y.tolist()
    assert data.frame == Frame(16, 16, 255, 11)


def test_fortran_order_and_big_endian(tmp_path):
    flat = np.asfortranarray(X.reshape(9, -1).astype(">f8") / 255)
    path = write(tmp_path, x_train=flat, x_test=flat[:3], y_train=Y.astype(">i4"))
    data = load(path, "mine")
    np.testing.assert_array_equal(data.train.images, X.reshape(9, -1))
    assert data.train.images.flags.c_contiguous
    assert "already in [0, 1]" in data.notes[0]


def test_rectangles_keep_their_shape(tmp_path):
    x = X[:, :, :10]
    assert load(write(tmp_path, x_train=x, x_test=x[:3]), "mine").frame[:2] == (16, 10)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"x_train": X.astype(object)}, "x_train: holds pickled Python objects"),
        (
            {"y_train": Y.astype(str)},
            "floats; from Python, nnx.dataset takes arrays with text as classes",
        ),
        ({"x_train": X + 0j}, "x_train: holds complex128"),
        ({"x_train": X[0, 0]}, "expected x_train of shape (n, height, width)"),
        ({"x_train": X[..., None, None]}, "got (9, 16, 16, 1, 1)"),
        ({"y_train": Y[:, None, None]}, "expected y_train of shape (n,)"),
        ({"y_train": Y[:-1]}, "x_train has 9 images, but"),
        (
            {"x_test": X[:3, :, 1:]},
            "x_test has images of (16, 15), x_train of (16, 16)",
        ),
        ({"x_train": X[:0], "y_train": Y[:0]}, "x_train: no samples"),
        ({"x_train": np.where(X[4, 5, 6] == X, np.nan, X)}, "x_train["),
        ({"x_test": X[:3].astype(int) - 256}, "x_test[0, 0, 0]: pixel value -"),
        (
            {"y_train": np.where(np.arange(9) == 4, -1, Y.astype(int))},
            "y_train[4]: label -1",
        ),
        ({"y_test": Y[:3] + 1}, "y_test[2]: label 3, expected 0 to 2"),
        ({"y_train": np.full(9, 2)}, "needs ≥2 classes, found only class 2"),
    ],
)
def test_refuses_arrays(tmp_path, changes, said):
    assert said in refused(write(tmp_path, **changes))


def test_without_a_test_part_a_tenth_is_held_out(tmp_path):
    """As of every other kind of file."""
    many = np.tile(X, (10, 1, 1)), np.tile(Y, 10)
    np.savez(tmp_path / "set.npz", x_train=many[0], y_train=many[1], other=Y)
    data = load(tmp_path / "set.npz", "mine")
    assert (len(data.train.labels), len(data.test.labels)) == (81, 9)
    assert any("no test part" in note for note in data.notes)
    for missing in "x_test", "y_test":
        arrays = {key: ARRAYS[key] for key in KEYS if key != missing}
        np.savez(tmp_path / "set.npz", **arrays)
        assert f"missing {missing};" in refused(tmp_path / "set.npz")


def test_missing_keys_are_named_with_what_is_there(tmp_path):
    path = tmp_path / "set.npz"
    np.savez(path, x_train=X, labels=Y)
    message = refused(path)
    assert "missing y_train, x_test, y_test" in message
    assert "x_train, labels" in message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (npy(X, shape=(1 << 40, 28, 28)), "truncated: needs"),
        (npy(X, shape=(-9, -16, 16)), "truncated: needs"),
        (npy(X[:1], shape=(True, 28, 28)), "x_train: not a plain array"),
        (npy(X)[:-1], "truncated: needs"),
        (npy(X) + b"\0", "truncated: needs"),
        (b"\x80\x04N.", "x_train"),
        (b"\x93NUMPY\x02\x00" + b"\xff" * 50, "x_train: not a plain array"),
        (b"\x93NUMPY\x01\x00\x10\x00" + b"(" * 16, "x_train: not a plain array"),
        (b"", "x_train: not a plain array"),
    ],
)
def test_refuses_members(tmp_path, content, said):
    assert said in refused(write_members(tmp_path, x_train=content))


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"<!DOCTYPE html>", b"PK\5\6"])
def test_refuses_what_is_no_archive(tmp_path, content):
    path = tmp_path / "set.npz"
    path.write_bytes(content)
    assert "not a whole .npz archive" in refused(path)


def test_truncated_archive(tmp_path):
    path = write(tmp_path)
    path.write_bytes(path.read_bytes()[:-30])
    assert "not a whole .npz archive" in refused(path)


def test_flipped_bit_is_found_by_the_checksum(tmp_path):
    path = write(tmp_path, np.savez)
    data = bytearray(path.read_bytes())
    data[500] ^= 1
    path.write_bytes(data)
    assert "Bad CRC-32" in refused(path)


def test_forged_size_is_refused_before_reading(tmp_path):
    """The central directory says 3 GiB, the member holds a few kilobytes."""
    path = write(tmp_path)
    data = path.read_bytes()
    at = data.index(b"PK\1\2") + 24
    path.write_bytes(data[:at] + struct.pack("<I", 3 << 30) + data[at + 4 :])
    assert "truncated or forged: 3221225472 bytes" in refused(path)


def test_more_than_the_limit_is_refused_before_reading(tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "MAX_UNPACKED", 1000)
    assert "more than 4 GiB" in refused(write(tmp_path))


def test_members_that_are_no_arrays_are_not_taken_for_them(tmp_path):
    path = tmp_path / "set.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for key in KEYS:
            archive.writestr(key, b"")
    assert "there is no array in it" in refused(path)


def test_odd_compression(tmp_path):
    path = write_members(tmp_path, zipfile.ZIP_BZIP2)
    assert "compressed in an unknown way" in refused(path)
