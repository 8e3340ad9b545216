"""Pixels and columns of rows to be predicted are read as in training."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnx
from nnx import Network
from nnx.data import csv_rows, csv_table, npy, parquet_table, unlabelled
from nnx.data.dataset import Array, Column, RawArray
from nnx.data.pixels import as_pixels, as_trained, on_scale
from nnx.data.unlabelled import of_columns, of_pixels
from nnx.errors import InputError


def _raw(values: Any) -> RawArray:
    array = np.atleast_2d(np.asarray(values))
    return RawArray(array, "here", lambda row, column: f"row {row}, column {column}")


@pytest.mark.parametrize(
    ("values", "maximum"),
    [
        (np.arange(256), 255),  # bytes
        (np.arange(256) / 255, 255),  # kept as bytes of 1/255
        (np.arange(256) / 300, 1),  # floats up to 1
        (np.arange(256) - 0.0001 * (np.arange(256) > 0), 1),  # divided by 255
        (np.arange(256) % 2, 1),  # binary
    ],
)
def test_the_same_pixels_are_taken_as_in_training(values: Array, maximum: int) -> None:
    [trained], found, _ = as_pixels([_raw(values)])
    assert found == maximum
    network = Network((256, 2)).replace(
        frame=Network((256, 2)).frame._replace(maximum=found)
    )
    images, _ = as_trained(_raw(values), maximum, 0)
    seen = [
        x.astype(np.float64) * network.pixel_scale(x.dtype) for x in (trained, images)
    ]
    np.testing.assert_allclose(seen[1], seen[0], atol=1e-6)


@pytest.mark.parametrize("maximum", [1, 16, 255])
@pytest.mark.parametrize(
    "values",
    [
        np.arange(256).reshape(4, 64),
        np.arange(256).reshape(4, 64) % 17,
        np.arange(256).reshape(4, 64) % 2,
        np.arange(256).reshape(4, 64) / 300,
    ],
    ids=["to 255", "to 16", "0 or 1", "floats"],
)
def test_a_file_with_labels_is_taken_as_the_same_rows_without(
    tmp_path: Path, values: Array, maximum: int
) -> None:
    rows = [",".join(map(str, row)) for row in values.tolist()] * 5
    (tmp_path / "rows.csv").write_text("\n".join(rows))
    names = ",".join(f"p{i}" for i in range(64))
    labelled = [f"{i % 2},{row}" for i, row in enumerate(rows)]
    (tmp_path / "set.csv").write_text("\n".join([f"label,{names}", *labelled]))
    network = Network((64, 2)).replace(
        frame=Network((64, 2)).frame._replace(maximum=maximum)
    )
    data = on_scale(nnx.load(tmp_path / "set.csv"), maximum)
    if values.max() > maximum > 1:
        assert data.frame.maximum == 255  # which the network is then said not to take
        with pytest.raises(InputError, match="outside 0-16"):
            list(of_pixels(tmp_path / "rows.csv", 64, maximum))
        return
    assert data.frame.maximum == maximum
    [block] = of_pixels(tmp_path / "rows.csv", 64, maximum)
    both = np.concatenate([data.train.images, data.test.images]), block.images
    seen = [each * network.pixel_scale(each.dtype) for each in both]
    np.testing.assert_allclose(*(np.unique(x, axis=0) for x in seen), atol=1e-6)


def test_dark_rows_leave_it_open_what_the_others_are() -> None:
    dark, divisor = as_trained(_raw([0, 0]), 255, 0)
    assert (dark.dtype, divisor) == (np.uint8, 0)
    assert as_trained(_raw([0, 200]), 255, divisor)[1] == 255
    floats, divisor = as_trained(_raw([0.0, 0.5]), 255, 0)
    assert (floats.dtype, divisor) == (np.float32, 1)
    # After bytes, a row of 0 and 1 alone is of bytes too.
    assert as_trained(_raw([0, 1]), 255, 255)[0].tolist() == [[0, 1]]


def test_numbers_too_large_for_a_byte_are_floats() -> None:
    images, divisor = as_trained(_raw([0, 500]), 1000, 0)
    assert (images.dtype, images.tolist(), divisor) == (np.float32, [[0.0, 0.5]], 1000)


def test_data_whose_scale_is_known_and_too_bright_ones_keep_it() -> None:
    digits = nnx.load("digits")
    assert on_scale(digits, 255) is digits
    table = nnx.dataset(np.arange(40.0).reshape(20, 2), np.arange(20) % 2, scale="none")
    assert on_scale(table, 255) is table
    dark = nnx.dataset(
        np.arange(80, dtype=np.uint8).reshape(20, 4) % 9, ["a", "b"] * 10
    )
    assert on_scale(dark, 16).frame.maximum == 16
    bright = dark.test._replace(images=dark.test.images + np.uint8(16))
    assert on_scale(dark._replace(test=bright), 16).frame.maximum == 255


@pytest.mark.parametrize(
    ("values", "maximum", "before", "says"),
    [
        ([0, 17], 16, 0, "row 0, column 1: pixel value 17 is outside 0-16"),
        ([0, np.nan], 255, 0, "row 0, column 1: pixel value nan is not a finite"),
        (
            [[0, 1], [2, 0]],
            255,
            1,
            "row 1, column 0: pixel value 2 is above 1, unlike",
        ),
    ],
)
def test_pixels_that_are_none(
    values: Any, maximum: int, before: int, says: str
) -> None:
    with pytest.raises(InputError, match=says):
        as_trained(_raw(values), maximum, before)


def test_uint8_above_a_lower_maximum_is_refused() -> None:
    with pytest.raises(InputError, match="pixel value 200 is outside 0-16"):
        as_trained(_raw(np.array([0, 200], np.uint8)), 16, 0)


@pytest.mark.parametrize(
    "changed",
    [
        {}, {3: '"3",4,5'}, {9: "9, 10 ,11"}, {0: '"a","b",c'}, {5: "\n5,6,7"},
        {5: " \n5,6,7"}, {0: "a;b;c", 7: "7;8;9"}, {0: '"a\nb",b,c'},
    ],
)  # fmt: skip
def test_numbers_that_numpy_parses_are_those_that_python_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[int, str]
) -> None:
    monkeypatch.setattr(csv_rows, "_BLOCK", 12)
    lines = ["a,b,c", *(f"{i},{i + 1},{i + 2}" for i in range(1, 12))]
    for i, line in changed.items():
        lines[i] = line
    if ";" in lines[0]:
        lines = [line.replace(",", ";") for line in lines]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    found = [table for table, _ in csv_table.read_blocks(tmp_path / "a.csv")]
    values = np.concatenate([np.column_stack(table.values) for table in found])
    np.testing.assert_array_equal(values, np.arange(1, 12)[:, None] + np.arange(3))
    read = csv_table.read(tmp_path / "a.csv")
    np.testing.assert_array_equal(np.column_stack(read.values), values)
    last = read.place(10, 2).replace("'", "")
    assert found[-1].place(found[-1].rows - 1, 2).replace("'", "") == last


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("1,2,x", r"line 9, column 'c': 'x' is not a number"),
        ("1,,3", r"line 9, column 'b': empty field, where a pixel"),
        ("1,nan,3", r"line 9, column 'b': empty field, where a pixel"),
        ("1,2", r"line 9: 2 columns, but the first line has 3"),
        ("1,2,3,4", r"line 9: 4 columns, but the first line has 3"),
        (",,", r"line 9, column 'a': empty field"),
        ("1_0,2,3", r"line 9, column 'a': '1_0' is not a number"),
    ],
)
def test_a_fault_is_found_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, says: str
) -> None:
    monkeypatch.setattr(csv_rows, "_BLOCK", 12)
    lines = ["a,b,c", *(f"{i},{i + 1},{i + 2}" for i in range(1, 12))]
    lines[8] = line
    (tmp_path / "a.csv").write_text("\n".join(lines))
    with pytest.raises(InputError, match=says):
        list(of_pixels(tmp_path / "a.csv", 3, 255))


@pytest.mark.parametrize("kind", ["csv", "npy", "parquet"])
def test_rows_are_those_of_the_file_in_every_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    for module, name in (npy, "_BLOCK"), (parquet_table, "BLOCK"), (csv_rows, "_BLOCK"):
        monkeypatch.setattr(module, name, 4)
    monkeypatch.setattr(csv_rows, "_FEWEST", 1)
    path, columns = tmp_path / f"a.{kind}", [Column("id"), Column("2019")]
    ids, values = np.arange(12), np.arange(12) / 2
    for fault, said in (None, ""), (9, "column '2019': empty field"):
        values[9] = 4.5 if fault is None else np.nan
        if kind == "csv":
            rows = [f"{i},{value}" for i, value in zip(ids, values, strict=True)]
            path.write_text("\n".join(["id,2019", *rows]).replace("nan", ""))
        elif kind == "npy":
            table = np.zeros(12, [("id", "i8"), ("2019", "f8")])
            table["id"], table["2019"] = ids, values
            np.save(path, table)
        else:
            table = pytest.importorskip("pyarrow").table({"id": ids, "2019": values})
            pytest.importorskip("pyarrow.parquet").write_table(table, path)
        if fault is None:
            for own, seen in (columns, [ids, values]), (columns[1:], [values]):
                blocks = list(of_columns(path, own, "id"))
                assert len(blocks) > 1
                assert [i for block in blocks for i in block.ids] == [*map(str, ids)]
                images = np.concatenate([block.images for block in blocks])
                np.testing.assert_array_equal(images, np.transpose(seen))
        else:
            place = "line 11" if kind == "csv" else "row 10"
            with pytest.raises(InputError, match=f"a.{kind}, {place}, {said}"):
                list(of_columns(path, columns[1:]))


@pytest.mark.parametrize("kind", ["csv", "npz"])
def test_pixels_of_every_block_are_taken_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    for module, name in (
        (csv_rows, "_FEWEST"),
        (csv_rows, "_BLOCK"),
        (unlabelled, "_BLOCK"),
    ):
        monkeypatch.setattr(module, name, 2)
    path, pixels = (
        tmp_path / f"a.{kind}",
        np.array([[0, 200], [1, 0], [0, 0], [1, 1]] * 2),
    )

    def write() -> None:
        if kind == "npz":
            np.savez(path, x=pixels[:1], x_test=pixels)
        else:
            lines = [f"{a},5,{b}" for a, b in pixels]
            path.write_text("\n".join(["a,Label,b", *lines]))

    write()
    blocks = list(of_pixels(path, 2, 255))
    assert len(blocks) > 2
    assert {block.images.dtype for block in blocks} == {np.dtype(np.uint8)}
    images = np.concatenate([block.images for block in blocks])
    np.testing.assert_array_equal(images, pixels)
    notes = [note for block in blocks for note in block.notes]
    left_out = ["the column label is left out"] * (kind == "csv")
    assert notes == [*left_out, "pixels are assumed to be from 0 to 255"]
    for width in 1, 3:
        says = f"a.{kind}: 2 columns of pixels; the network takes {width}"
        with pytest.raises(InputError, match=says):
            list(of_pixels(path, width, 255))
    pixels[6, 1] = 300
    write()
    place = "line 8, column 'b'" if kind == "csv" else r"x_test\[6, 1\]"
    with pytest.raises(InputError, match=f"{place}: pixel value 300"):
        list(of_pixels(path, 2, 255))


def test_an_archive_without_a_row(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((0, 2), np.uint8))
    with pytest.raises(InputError, match="no rows"):
        list(of_pixels(tmp_path / "a.npz", 2, 255))


def test_the_first_line_names_columns_that_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,2,3\nx,7,8\n")
    [block] = of_columns(path, [Column("3"), Column("2")])
    assert block.images.tolist() == [[8, 7]]
    [block] = of_pixels(path, 2, 255, "id")
    assert (block.images.tolist(), block.ids) == ([[7, 8]], ["x"])


def test_numbers_that_are_categories_keep_their_zeros(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("code\n02\n01\n")
    [block] = of_columns(tmp_path / "a.csv", [Column("code", categories=("01", "02"))])
    assert block.images.tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize("kind", ["csv", "npy", "parquet"])
@pytest.mark.parametrize(
    ("names", "copied"), [(["label"], ""), (["id"], "id"), (["label", "id"], "id")]
)
def test_a_table_without_a_pixel(
    tmp_path: Path, kind: str, names: list[str], copied: str
) -> None:
    path, rows = tmp_path / f"a.{kind}", [names, ["1"] * len(names)]
    if kind == "csv":
        path.write_text("\n".join(map(",".join, rows)))
    elif kind == "npy":
        np.save(path, np.zeros(2, [(name, "u1") for name in names]))
    else:
        pa = pytest.importorskip("pyarrow")
        table = pa.table({name: [1, 2] for name in names})
        pytest.importorskip("pyarrow.parquet").write_table(table, path)
    with pytest.raises(InputError, match="no columns of pixels: give one for each"):
        list(of_pixels(path, 4, 255, copied))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_two_columns_to_copy(tmp_path: Path, kind: str) -> None:
    path, names = tmp_path / f"a.{kind}", ["id", "x", "id"]
    if kind == "csv":
        path.write_text(",".join(names) + "\n1,2,3\n")
    else:
        table = pytest.importorskip("pyarrow").table([[1], [2], [3]], names=names)
        pytest.importorskip("pyarrow.parquet").write_table(table, path)
    with pytest.raises(InputError, match="column 1: another one is also called 'id'"):
        list(of_columns(path, [Column("x")], "id"))


class _Frame(dict[str, Any]):
    """What all data frames have in common."""

    @property
    def columns(self) -> list[str]:
        return list(self)


def _network() -> Network:
    columns = Column("age", 40.0, 10.0), Column("city", categories=("Bern", "Oslo"))
    return Network((3, 2), seed=0).replace(columns=columns)


def test_a_data_frame_is_taken_by_the_names_of_its_columns() -> None:
    network = _network()
    frame = _Frame({"x": [1, 2], "city": ["Oslo", "Bern"], "age": [50, 30]})
    expected = np.array([[1, 0, 1], [-1, 1, 0]], np.float32)
    np.testing.assert_array_equal(network.features(frame), expected)
    for ask in network.predict, network.predict_proba:
        np.testing.assert_array_equal(ask(frame), ask(expected))
    with pytest.raises(InputError, match="'Rome' is in no training row; they have"):
        network.predict(_Frame(frame | {"city": ["Oslo", "Rome"]}))
    with pytest.raises(InputError, match="no column is called 'age'"):
        network.predict(_Frame({"city": ["Oslo"], "x": [1]}))


def test_an_array_is_taken_by_the_order_of_its_columns() -> None:
    columns = Column("x0", 1.0, 2.0), Column("x1")
    network = Network((2, 2)).replace(columns=columns)
    found = network.features(np.array([[3.0, 4.0]]))
    np.testing.assert_array_equal(found, [[1.0, 4.0]])
    with pytest.raises(InputError, match="3 columns"):
        network.features(np.ones((1, 3)))


def test_numbers_that_were_names_of_categories_are_so_again() -> None:
    columns = (Column("zone", categories=("1", "2")),)
    network = Network((2, 2)).replace(columns=columns)
    frame = _Frame({"zone": [2.0, 1.0]})
    np.testing.assert_array_equal(network.features(frame), [[0, 1], [1, 0]])


def test_pixels_have_no_names() -> None:
    with pytest.raises(InputError, match="takes 4 pixels, not named columns"):
        Network((4, 2)).features(np.ones((1, 4)))
