"""Arrays of .npy files: mapped, or refused in a line."""

import numpy as np
import pytest
from data_files import refusal, samples

from nnx.data import npy
from nnx.data.dataset import Split
from nnx.data.load import load
from nnx.data.rows import Rows, in_file
from nnx.errors import InputError

IMAGES, LABELS = samples(12)
TEST_IMAGES, TEST_LABELS = samples(6, seed=1)
ARRAYS = {
    "x_train": IMAGES, "y_train": LABELS, "x_test": TEST_IMAGES, "y_test": TEST_LABELS
}  # fmt: skip


def write(folder, **others):
    folder.mkdir(exist_ok=True)
    for name, values in (ARRAYS | others).items():
        np.save(folder / f"{name}.npy", values)
    return folder


def test_a_folder_is_mapped_and_is_what_an_npz_of_it_is(tmp_path):
    np.savez(tmp_path / "set.npz", **ARRAYS)
    packed, data = load(tmp_path / "set.npz"), load(write(tmp_path / "set"))
    assert (data.classes, data.frame) == (packed.classes, packed.frame)
    for mine, other in zip(data.parts, packed.parts, strict=True):
        assert in_file(mine.images)
        np.testing.assert_array_equal(mine.images, other.images)
        np.testing.assert_array_equal(mine.labels, other.labels)


@pytest.mark.parametrize(
    "values",
    [
        IMAGES / 255,
        (IMAGES / 255).astype(np.float32),
        IMAGES / np.float32(256),
        IMAGES.astype(np.float64) + (IMAGES < 9) / 4,
        IMAGES.astype(np.int64),
        (IMAGES > 99).astype(np.uint8),
    ],
    ids=["double", "float", "256ths", "quarters", "int64", "binary"],
)
def test_other_numbers_are_made_pixels_as_they_are_read(tmp_path, values):
    others = {"x_train": values, "x_test": values[:6]}
    np.savez(tmp_path / "set.npz", **ARRAYS | others)
    packed = load(tmp_path / "set.npz")
    data = load(write(tmp_path / "set", **others))
    assert data.notes == packed.notes
    assert data.frame == packed.frame
    for mine, other in zip(data.parts, packed.parts, strict=True):
        assert in_file(mine.images)
        assert mine.images.dtype == other.images.dtype
        np.testing.assert_array_equal(mine.images, other.images)


def saved(path, values, **how):
    np.save(path, values, **how)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (lambda p: saved(p, IMAGES)[:-1], "truncated: needs 368 bytes, has 367"),
        (lambda p: saved(p, IMAGES) + b"x", "trailing bytes"),
        (lambda p: saved(p, IMAGES)[:40], "not a whole .npy array"),
        (lambda p: b"", "not a whole .npy array"),
        (lambda p: b"x,y\n1,2\n", "not a whole .npy array"),
        (lambda p: saved(p, np.array([{}, 1], object)), "never loaded"),
        (lambda p: saved(p, np.asfortranarray(IMAGES)), "np.ascontiguousarray"),
        (lambda p: saved(p, IMAGES + 1j), "holds complex128"),
        (lambda p: saved(p, IMAGES.astype("U3")), "holds <U3"),
        (lambda p: saved(p, IMAGES.astype("M8[s]")), "holds datetime64"),
        (lambda p: saved(p, np.longdouble(IMAGES)), "holds float128"),
        (lambda p: saved(p, IMAGES[:0]), "no samples"),
        (lambda p: saved(p, np.uint8(7)), "no samples"),
        (lambda p: saved(p, IMAGES).replace(b"(12, 4", b"(-2, 4"), "not a whole .npy"),
        (lambda p: saved(p, IMAGES).replace(b"(12, 4", b"(1.5,4"), "not a whole .npy"),
        (lambda p: saved(p, IMAGES).replace(b"(12, ", b"(True,"), "not a whole .npy"),
        (lambda p: saved(p, IMAGES).replace(b"{'des", b"[[[[["), "not a whole .npy"),
        (lambda p: saved(p, np.zeros(3, [("a", "O")])), "never loaded"),
        (lambda p: saved(p, np.zeros(3, [("a", "u1", 4)])), "expected integers"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused(tmp_path, content, says):
    path = tmp_path / "x_train.npy"
    content = content(path)
    write(tmp_path)
    path.write_bytes(content)
    message = refusal(load, tmp_path)
    assert says in message
    assert str(path) in message


@pytest.mark.parametrize(
    ("others", "says"),
    [
        ({"y_train": LABELS[:-1]}, "has 12 images, but"),
        ({"x_test": TEST_IMAGES[:, 1:]}, "x_test has images of (3, 5)"),
        ({"x_train": IMAGES.reshape(-1)}, "expected x_train of shape"),
        ({"x_train": IMAGES.astype(int) + 1}, "is outside 0-255"),
        ({"x_train": IMAGES * np.nan}, "is not a finite number"),
        ({"y_train": LABELS * 0}, "training needs ≥2 classes"),
        ({"y_train": LABELS.astype([("a", "u1")])}, "named columns"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, others, says):
    assert says in refusal(load, write(tmp_path / "set", **others))


def test_without_a_test_part_a_tenth_is_held_out(tmp_path):
    folder = write(
        tmp_path / "set", x_train=IMAGES.repeat(5, 0), y_train=LABELS.repeat(5)
    )
    for name in "x_test", "y_test":
        (folder / f"{name}.npy").unlink()
    data = load(folder)
    assert (len(data.train.labels), len(data.test.labels)) == (54, 6)
    assert any("no test part" in note for note in data.notes)


def test_a_missing_array_is_named(tmp_path):
    (write(tmp_path / "set") / "y_test.npy").unlink()
    with pytest.raises(InputError, match=r"missing y_test\.npy"):
        load(tmp_path / "set")


def test_an_array_without_names_is_no_table(tmp_path):
    np.save(tmp_path / "x.npy", IMAGES)
    with pytest.raises(
        InputError, match=r"columns need names; or give a folder of x_t"
    ):
        load(tmp_path / "x.npy")
    with pytest.raises(InputError, match="columns need names"):
        load(tmp_path / "x.npy", target="a")
    np.save(tmp_path / "x.npy", np.zeros((3, 2), [("label", "u1"), ("a", "u1")]))
    with pytest.raises(InputError, match=r"not a table, but .* of shape \(3, 2\)"):
        load(tmp_path / "x.npy")


def test_a_table_without_a_label_asks_for_a_target(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros(3, [("a", "f8"), ("b", "u1")]))
    with pytest.raises(InputError, match="name it as target"):
        load(tmp_path / "x.npy")
    with pytest.raises(InputError, match="no column is called 'c'"):
        load(tmp_path / "x.npy", target="c")


@pytest.mark.parametrize(
    "kinds",
    [
        [("label", "u1"), ("a", "u1"), ("b", "f4")],
        [("a", "u1"), ("label", "u1"), ("b", "u1")],
    ],
)
def test_pixels_of_several_types_or_apart_are_no_picture(tmp_path, kinds):
    np.save(tmp_path / "x.npy", np.zeros(3, kinds))
    with pytest.raises(InputError, match="column 'b' is not a pixel like the first"):
        load(tmp_path / "x.npy")


def test_a_fault_in_a_table_is_found_where_it_is(tmp_path):
    kinds = [("label", "i2"), ("a", "i2"), ("b", "i2")]
    for row, name, words in (3, "b", "pixel value 300"), (2, "label", "label -1"):
        table = np.zeros(4, kinds)
        table[name][row] = words.split()[-1]
        np.save(tmp_path / "x.npy", table)
        says = rf"x\.npy, row {row + 1}, column '{name}': {words} is"
        with pytest.raises(InputError, match=says):
            load(tmp_path / "x.npy")
    np.save(tmp_path / "x.npy", table[["label"]])
    with pytest.raises(InputError, match="no samples: no column but the label"):
        load(tmp_path / "x.npy")


def test_rows_that_are_held_out_stay_in_the_file(tmp_path):
    kinds = [("label", "u1"), *((f"p{i}", "u1") for i in range(4))]
    table = np.zeros(40, kinds)
    table["label"], table["p2"] = np.arange(40) % 2, np.arange(40)
    np.save(tmp_path / "x.npy", table)
    data = load(tmp_path / "x.npy")
    assert isinstance(data.train.images, Rows)
    assert isinstance(data.test.images, Rows)
    kept = [np.asarray(part.images)[:, 2] for part in data.parts]
    assert [len(part) for part in kept] == [36, 4]
    np.testing.assert_array_equal(np.sort(np.concatenate(kept)), np.arange(40))
    for part in data.parts:
        assert isinstance(part, Split)
        np.testing.assert_array_equal(part.labels, np.asarray(part.images)[:, 2] % 2)


def test_a_header_has_room_for_many_columns_and_no_more(tmp_path):
    kinds = [(f"column_{i}", "u1") for i in range(4000)]
    with pytest.warns(UserWarning, match=r"format 2\.0"):
        np.save(tmp_path / "x.npy", np.zeros(2, kinds))
    assert len(npy.mapped(tmp_path / "x.npy").dtype.names) == 4000
    forged = b"\x93NUMPY\x02\x00" + (1 << 21).to_bytes(4, "little") + b"(" * (1 << 21)
    (tmp_path / "y.npy").write_bytes(forged)
    with pytest.raises(InputError, match=r"not a whole \.npy array"):
        npy.mapped(tmp_path / "y.npy")
