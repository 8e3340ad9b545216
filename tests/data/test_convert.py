"""A table converted to .npy: the same numbers and data set, with little memory."""

import tracemalloc

import numpy as np
import pytest

from nnx.data import csv_rows
from nnx.data.convert import _header, convert, numpy_load
from nnx.data.load import load
from nnx.data.npy import MAX_HEADER, mapped
from nnx.data.rows import Rows, in_file
from nnx.data.unlabelled import of_columns
from nnx.errors import InputError, WriteError


def as_csv(path, names, columns):
    rows = zip(*columns, strict=True)
    lines = [",".join(names), *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def same(data, other):
    """Whether two data sets hold the same, to the bit."""
    skipped = {"source", "options", "name"}
    for name in set(data._fields) - skipped - {"train", "test"}:
        assert getattr(data, name) == getattr(other, name), name
    for mine, its in zip(data.parts, other.parts, strict=True):
        assert in_file(mine.images)
        assert mine.images.dtype == its.images.dtype
        np.testing.assert_array_equal(mine.images, its.images)
        np.testing.assert_array_equal(mine.labels, its.labels)
        assert mine.labels.dtype == its.labels.dtype


@pytest.mark.parametrize("label", [0, 2, 4])
@pytest.mark.parametrize("scale", [1, 255, 300])
def test_pictures_are_those_of_the_csv_file(tmp_path, label, scale):
    chance = np.random.default_rng(0)
    names = ["a", "b", "c", "d"]
    names.insert(label, "label")
    pixels = chance.integers(0, 256, (4, 60))
    pixels[1] = 0
    columns = list(pixels if scale == 1 else np.round(pixels / scale, 4))
    columns.insert(label, np.arange(60) % 3)
    source = as_csv(tmp_path / "mine.csv", names, columns)
    assert convert(source, tmp_path / "mine.npy") == (60, 5)
    same(load(tmp_path / "mine.npy"), load(source))
    kinds = np.load(tmp_path / "mine.npy").dtype
    assert {kinds[name].str for name in "abcd"} == {"|u1" if scale == 1 else "<f8"}
    assert kinds["label"].str == "|u1"


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_a_table_is_that_of_the_csv_file(tmp_path, monkeypatch, task):
    chance = np.random.default_rng(0)
    columns = [
        chance.integers(0, 2, 80), chance.normal(size=80), 0.5 * np.arange(80),
        chance.integers(-5, 5, 80) * 10**9, np.minimum(np.arange(80) - 9, 5),
        np.arange(80) % 4,
    ]  # fmt: skip
    names = ["few", "größe, m", "半", "large", "negative at first", "kind"]
    quoted = [f'"{name}"' for name in names]
    source = as_csv(tmp_path / "mine.csv", quoted, columns)
    with monkeypatch.context() as small:
        small.setattr(csv_rows, "_FEWEST", 7)
        small.setattr(csv_rows, "_BLOCK", 1)
        convert(source, tmp_path / "mine.npy")
    table = np.load(tmp_path / "mine.npy", allow_pickle=False)
    types = "|u1", "<f8", "<f4", "<f4", "<f4", "|u1"
    assert tuple(table.dtype[i].str for i in range(6)) == types
    how = {"target": "größe, m" if task == "regression" else "kind"}
    data, other = load(tmp_path / "mine.npy", **how), load(source, **how)
    assert data.task == task
    assert isinstance(data.train.images, Rows)
    same(data, other)
    blocks = of_columns(tmp_path / "mine.npy", data.columns, "few")
    its = of_columns(source, data.columns, "few")
    for mine, block in zip(blocks, its, strict=True):
        np.testing.assert_array_equal(mine.images, block.images)
        assert mine.ids == block.ids


def test_parquet_and_empty_fields(tmp_path):
    pa = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    import pyarrow.parquet as pq

    columns = {
        "a": [1.5, None, 3.0, 4.0] * 5,
        "b": list(range(20)),
        "none": [None] * 20,
    }
    columns["none"] = pa.array(columns["none"], pa.string())
    pq.write_table(pa.table(columns), tmp_path / "mine.parquet", row_group_size=7)
    convert(tmp_path / "mine.parquet", tmp_path / "mine.npy", ["none"])
    how = {"target": "b", "missing": "fill", "task": "regression"}
    source = load(tmp_path / "mine.parquet", drop="none", **how)
    same(load(tmp_path / "mine.npy", **how), source)
    convert(tmp_path / "mine.parquet", tmp_path / "all.npy")
    assert np.isnan(np.load(tmp_path / "all.npy")["none"]).all()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "a,b\n1,2\n3,x\n",
            "line 3, column 'b': 'x' is not a number; --drop leaves a column out",
        ),
        ("a,b\n1,2\n3\n", "line 3: 1 columns, but the first line has 2"),
        ("a,a\n1,2\n", "another one is also called 'a'"),
        ("a,b\n", "no rows"),
        ("", "no rows"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused(tmp_path, text, says):
    source, out = tmp_path / "mine.csv", tmp_path / "mine.npy"
    source.write_text(text)
    with pytest.raises(InputError, match=r"^[^\n]*$") as error:
        convert(source, out)
    assert says in str(error.value)
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize("columns", [2, 784])
def test_numpy_opens_the_file_as_it_is_told_to(tmp_path, columns):
    names = [f"pixel{i}" for i in range(columns)]
    source = as_csv(tmp_path / "m.csv", names, [[1, 2]] * columns)
    convert(source, tmp_path / "m.npy")
    told = numpy_load(tmp_path / "m.npy")
    assert ("max_header_size" in told) == (columns > 2)
    assert mapped(tmp_path / "m.npy").offset % 64 == 0
    opened = eval(told, {"numpy": np})
    assert opened[names[-1]].tolist() == [1, 2]
    if columns > 2:
        with pytest.raises(ValueError, match="max_header_size"):
            np.load(tmp_path / "m.npy", mmap_mode="r")


@pytest.mark.parametrize("spare", [0, 1, 64, 65, 130])
def test_names_that_fill_a_header_can_be_read_or_are_refused(tmp_path, spare):
    bare = {"descr": [("", "|u1")], "fortran_order": False, "shape": (1,)}
    name = "a" * (MAX_HEADER - len(ascii(bare)) - spare)
    try:
        header = _header([(name, "|u1")], 1)
    except InputError:
        assert spare < 65
        return
    (tmp_path / "m.npy").write_bytes(header + b"\0")
    assert mapped(tmp_path / "m.npy").dtype.names == (name,)


def test_columns_are_left_out(tmp_path):
    source = as_csv(tmp_path / "m.csv", ["a", "b"], [[1, 2], ["x", "y"]])
    assert convert(source, tmp_path / "m.npy", ["b"]) == (2, 1)
    with pytest.raises(InputError, match="no column is called 'c'"):
        convert(source, tmp_path / "m.npy", ["c"])
    with pytest.raises(InputError, match="no column is left"):
        convert(source, tmp_path / "m.npy", ["a", "b"])


def test_whole_numbers_beyond_2_to_the_53_are_rounded_to_the_nearest(tmp_path):
    numbers = [2**53, 2**53 + 1, 2**53 + 2]
    source = as_csv(tmp_path / "m.csv", ["a"], [numbers])
    convert(source, tmp_path / "m.npy")
    written = np.load(tmp_path / "m.npy")["a"]
    assert written.tolist() == [float(n) for n in numbers]


def test_names_of_files(tmp_path):
    source = as_csv(tmp_path / "m.csv", ["a", "b"], [[1, 2], [3, 4]])
    for second in "m.csv", "x.idx":
        with pytest.raises(
            InputError, match=rf"{second}: the name .* must end in \.npy"
        ):
            convert(source, tmp_path / second)
    with pytest.raises(InputError, match=r"/o\.npy: is already an \.npy file"):
        convert(tmp_path / "o.npy", tmp_path / "other.npy")
    with pytest.raises((InputError, WriteError), match="no such folder"):
        convert(source, tmp_path / "none" / "m.npy")


def test_memory_does_not_grow_with_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_rows, "_CHUNK", 1 << 16)
    line = ",".join(map(str, range(100, 150))) + "\n"
    source = tmp_path / "big.csv"
    header = ",".join(["label", *(f"p{i}" for i in range(49))]) + "\n"
    source.write_text(header + line.replace("100", "1", 1) * 5000)
    tracemalloc.start()
    try:
        convert(source, tmp_path / "big.npy")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert np.load(tmp_path / "big.npy", mmap_mode="r").shape == (5000,)
    assert peak < 1e6  # of 250,000 numbers
