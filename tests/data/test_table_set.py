"""Data sets of tables: what is learned, from which rows, and what is refused."""

import csv
from decimal import Decimal

import numpy as np
import pandas
import pytest
from data_files import refusal

import nnx
from nnx.data.digest import digest
from nnx.data.read_table import read_blocks, read_table
from nnx.data.table_like import load_like
from nnx.errors import InputError


@pytest.fixture
def write(tmp_path):
    def write(name="t.csv", rows=40, **columns):
        made = {
            "a": lambda i: i,
            "city": lambda i: ("Oslo", "Bern")[i % 2],
            "y": lambda i: ("no", "yes")[i % 3 == 0],
        } | columns
        with open(tmp_path / name, "w", newline="") as file:
            out = csv.writer(file)
            out.writerow(made)
            out.writerows([of(i) for of in made.values()] for i in range(rows))
        return tmp_path / name

    return write


def refused(path, **options):
    return refusal(nnx.load, path, **({"target": "y"} | options))


def test_classes_of_text(write):
    data = nnx.load(write(), target="y")
    assert (data.task, data.classes) == ("classification", ("no", "yes"))
    assert [column.name for column in data.columns] == ["a", "city"]
    assert data.frame == (1, 3, 1, 0)
    assert [len(part.labels) for part in data.parts] == [36, 4]
    assert data.train.images[:, 0].mean() == pytest.approx(0, abs=1e-6)
    assert "target 'y': classification, as it is text" in data.notes
    assert any("no test part: 4 of 40 rows" in note for note in data.notes)


def test_a_column_that_numbers_the_rows_is_remarked_on(write):
    """It is learned as any other number, and later rows are outside its range."""
    of_rows = {"id": lambda i: 892 + i, "a": lambda i: i * i, "even": lambda i: 2 * i}
    notes = nnx.load(write(**of_rows), target="y").notes
    assert [note for note in notes if "numbers the rows" in note] == [
        "column 'id' numbers the rows: unless the target depends on that, leave it out "
        "with drop"
    ]
    for few in {"rows": 20}, {"id": lambda i: i + (i > 30)}:
        data = nnx.load(write(**of_rows | few), target="y")
        assert "numbers the rows" not in str(data.notes)


def test_a_column_of_nearly_that_name_is_suggested(write):
    many = {f"c{i}": lambda i: i for i in range(12)}
    path = write(**many, SalePrice=lambda i: i / 3)
    assert refused(path, target="saleprice").endswith("; did you mean 'SalePrice'?")
    assert "did you mean" not in refused(path, target="rooms")


@pytest.mark.parametrize(
    ("target", "task", "outputs"),
    [
        (lambda i: i % 4 + 3, "classification", ("3", "4", "5", "6")),
        (lambda i: (-1) ** i, "classification", ("-1", "1")),
        (lambda i: i, "regression", ("y",)),
        (lambda i: i / 3, "regression", ("y",)),
        (lambda i: i % 4 + 0.5, "regression", ("y",)),
        (lambda i: i % 2 == 0, "classification", ("False", "True")),
    ],
)
def test_what_is_learnt_is_told_by_the_target(write, target, task, outputs):
    data = nnx.load(write(y=target), target="y")
    assert data.task == task
    assert (data.classes or tuple(t.name for t in data.targets)) == outputs


@pytest.mark.parametrize(
    ("rows", "different", "task"),
    [
        (8, 2, "classification"),
        (14, 3, "regression"),
        (15, 3, "classification"),
        (200, 20, "classification"),
        (200, 21, "regression"),
    ],
)
def test_few_whole_numbers_are_classes(write, rows, different, task):
    path = write(rows=rows, y=lambda i: i % different)
    assert nnx.load(path, target="y").task == task


def test_a_target_that_is_text_among_numbers_or_missing_is_refused(write):
    path = write(rows=60, y=lambda i: "x" if i == 7 else i)
    assert "t.csv, line 9, column 'y': 'x' is not a number" in refused(path)
    test = write("test.csv", 6, y=lambda i: "" if i == 2 else "yes")
    says = "test.csv, line 4, column 'y': the target is missing: leave the row out"
    assert refused(write(), test_data=test).endswith(says)


def test_numbers_of_classes_are_in_the_order_of_numbers(write):
    data = nnx.load(write(y=lambda i: (2, 10, 1)[i % 3]), target="y")
    assert data.classes == ("1", "2", "10")


def test_several_targets_are_labels_or_numbers(write):
    path = write(u=lambda i: i % 2, v=lambda i: 1 - i % 2, w=lambda i: i * 0.5)
    labels = nnx.load(path, target=["u", "v"])
    assert (labels.task, labels.classes) == ("multilabel", ("u", "v"))
    assert labels.train.labels.sum(axis=1).tolist() == [1] * 36
    numbers = nnx.load(path, target=["w", "u"], drop=["y"])
    assert (numbers.task, numbers.outputs) == ("regression", 2)
    assert numbers.train.labels.mean(axis=0) == pytest.approx([0, 0])
    assert numbers.train.labels.std(axis=0) == pytest.approx([1, 1])


@pytest.mark.parametrize("scaled", ["both", "columns", "targets", "none"])
def test_what_is_standardized(write, scaled):
    data = nnx.load(write(y=lambda i: 3 * i), target="y", standardize=scaled)
    assert (data.columns[0].scale != 1) == (scaled in ("both", "columns"))
    assert (data.targets[0].scale != 1) == (scaled in ("both", "targets"))


def test_a_table_of_its_own_to_test_on_and_to_choose_by(write):
    path, test = write(), write("test.csv", 6)
    data = nnx.load(path, target="y", test_data=test, validation_data=test)
    assert len(data.train.labels) == 40
    np.testing.assert_array_equal(data.test.images, data.train.images[:6])
    np.testing.assert_array_equal(data.validation.labels, data.train.labels[:6])
    assert data.options.test_data == str(test)
    says = "no column is called 'town'"
    assert says in refused(path, categorical="town", test_data=test)


def test_numbers_in_a_table_to_test_on_are_text_as_in_the_other(write):
    path, test = (
        write(a=lambda i: ("01", "x")[i % 2]),
        write("test.csv", 6, a="01".format),
    )
    data = nnx.load(path, target="y", test_data=test)
    assert data.columns[0].categories == ("01", "x")
    assert data.test.images[:, :2].tolist() == [[1, 0]] * 6


def test_few_rows(write):
    data = nnx.load(write(rows=10), target="y")
    assert [len(part.labels) for part in data.parts] == [9, 1]
    assert refused(write(rows=1)).endswith("training needs 2 or more rows, not 1")


def test_classes_of_numbers_in_another_notation_are_the_same(write):
    data = nnx.load(write(y=lambda i: i % 2), target="y")
    other = load_like(write("other.csv", y=lambda i: f"{i % 2}.0"), data, ["y"])
    assert other.test.labels.tolist() == [0, 1] * 20


def test_a_category_or_class_of_one_row_is_trained_on(write):
    """Wherever that row is: else a file would be refused for the rows held out."""
    for odd in range(40):
        data = nnx.load(
            write(
                city=lambda i, odd=odd: "Rome" if i == odd else "Oslo",
                y=lambda i, odd=odd: 9 if i == (odd + 1) % 40 else i % 2,
            ),
            target="y",
        )
        assert data.columns[1].categories == ("Oslo", "Rome")
        assert data.classes == ("0", "1", "9")
        assert len(data.test.labels) >= 2
        assert (np.diff(data.train.images[:, 0]) > 0).all()  # in the file's order
    path = write(rows=15, city=lambda i: f"city {i}")
    assert "no row can be held out for testing, as each has a text" in refused(path)


def test_empty_fields(write):
    path = write(
        a=lambda i: "" if i == 7 else i, city=lambda i: "NA" if i > 37 else "x"
    )
    assert "line 9, column 'a': empty field" in refused(path)
    data = nnx.load(path, target="y", missing="fill")
    assert "3 empty fields are filled" in data.notes
    assert data.columns[0].fill == pytest.approx(20, abs=2)
    assert data.columns[1].fill == "x"


@pytest.mark.parametrize(
    ("columns", "options", "words"),
    [
        ({"y": lambda i: "" if i == 5 else i}, {}, "line 7, column 'y': the target is"),
        ({"a": lambda i: "x" if i == 5 else i}, {}, "line 7, column 'a': 'x' is not a"),
        ({"y": lambda i: "x" if i == 5 else i}, {"task": "regression"}, "line 7, colu"),
        ({"y": lambda i: "x"}, {}, "training needs ≥2 classes, found only 'x'"),
        ({"y": lambda i: i / 2}, {"task": "classification"}, "line 3, column 'y': 0.5"),
        ({"y": lambda i: i % 3}, {"task": "multilabel"}, "line 4, column 'y': a label"),
        (
            {"city": lambda i: f"n{i}"},
            {},
            "'city' has 36 different texts in 36 rows, too many to learn from: leave "
            "it out with drop",
        ),
        ({}, {"target": "z"}, "no column is called 'z'; there are 'a', 'city', 'y'"),
        ({}, {"drop": "z"}, "no column is called 'z'"),
        ({}, {"categorical": "z"}, "no column is called 'z'"),
        ({}, {"drop": ["a", "city"]}, "no columns but the target"),
        ({}, {"target": ["y", "a"], "task": "classification"}, "2 targets cannot be"),
        ({}, {"task": "sorting"}, "task must be one of auto, classification"),
        ({}, {"missing": "drop"}, "missing must be one of refuse, fill"),
        ({}, {"verbose": 1}, "no option of a table is called 'verbose'"),
        ({}, {"test_data": "no.csv"}, "no.csv: cannot be read"),
    ],
)
def test_refuses(write, columns, options, words):
    assert words in refused(write(**columns), **options)


def test_a_class_that_is_in_no_training_row(write):
    path = write(y=lambda i: "ab"[i % 2])
    test = write("test.csv", y=lambda i: "abc"[i % 3])
    message = refused(path, test_data=test)
    assert "test.csv, line 4, column 'y': class 'c' is in no training row" in message


def test_a_target_needs_a_table(write):
    with pytest.raises(InputError, match="digits: target is for a table in a file"):
        nnx.load("digits", target="y")
    with pytest.raises(InputError, match="drop is for a table: give the column"):
        nnx.load(write(), drop="a")
    with pytest.raises(
        InputError, match="to predict a column of a table, name it as t"
    ):
        nnx.load(write())


def test_parquet_is_read_as_csv_is(write, tmp_path):
    path = write(a=lambda i: "" if i == 3 else i, y=lambda i: i * 0.1)
    pandas.read_csv(path).to_parquet(tmp_path / "t.parquet")
    ours, theirs = (
        nnx.load(p, target="y", missing="fill") for p in (path, tmp_path / "t.parquet")
    )
    assert theirs.columns == ours.columns
    np.testing.assert_array_equal(theirs.train.images, ours.train.images)
    assert digest(theirs) == digest(ours)


def test_an_index_without_a_name_is_left_out_of_parquet_as_of_csv(write, tmp_path):
    frame = pandas.read_csv(write(y=lambda i: i * 0.1))[::-1].query("a % 3")
    frame.to_csv(tmp_path / "t.csv")
    frame.to_parquet(tmp_path / "t.parquet")
    ours, theirs = (
        nnx.load(tmp_path / name, target="y") for name in ("t.csv", "t.parquet")
    )
    assert [column.name for column in theirs.columns] == ["a", "city"]
    assert digest(theirs) == digest(ours)
    assert "column 1 has no name: left out" in ours.notes
    note = "__index_level_0__ is pandas' index without a name: left out"
    assert note in theirs.notes
    named = "__index_level_0__"
    again = nnx.load(tmp_path / "t.parquet", target="y", drop=named)
    assert digest(again) == digest(ours)
    assert note not in again.notes
    for table, _ in read_blocks(tmp_path / "t.parquet"):
        assert table.names == ("a", "city", "y")
    for table, _ in read_blocks(tmp_path / "t.parquet", needed=["a", named]):
        assert table.names == ("a", named)


def test_an_index_with_a_name_is_a_column(write, tmp_path):
    frame = pandas.read_csv(write(y=lambda i: i * 0.1)).query("a % 3")
    frame.rename_axis("house").to_parquet(tmp_path / "t.parquet")
    data = nnx.load(tmp_path / "t.parquet", target="y")
    assert [column.name for column in data.columns] == ["a", "city", "house"]


def test_decimal_numbers_in_parquet_are_numbers(tmp_path):
    frame = pandas.DataFrame(
        {
            "a": [Decimal(i) / 4 if i != 3 else None for i in range(40)],
            "code": [Decimal(BEYOND + i % 3) for i in range(40)],
            "y": [Decimal(i) / 10 for i in range(40)],
        }
    )
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_csv(tmp_path / "t.csv", index=False)
    told = {"target": "y", "missing": "fill", "categorical": "code"}
    ours, theirs = (
        nnx.load(tmp_path / name, **told) for name in ("t.csv", "t.parquet")
    )
    assert theirs.columns == ours.columns
    assert theirs.columns[1].categories == tuple(str(BEYOND + i) for i in range(3))
    assert digest(theirs) == digest(ours)


@pytest.mark.parametrize("kind", ["string", "large_string", "string_view"])
def test_text_in_parquet_is_text_however_it_is_stored(tmp_path, kind):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    texts = pa.array(["Oslo", None, "Bern", "Oslo"], getattr(pa, kind)())
    pq.write_table(pa.table({"city": texts}), tmp_path / "t.parquet", row_group_size=2)
    [column] = read_table(tmp_path / "t.parquet").values
    said = [*column.values, None]  # -1: an empty field
    assert [said[code] for code in column.codes] == texts.to_pylist()


def test_a_digest_tells_tables_apart_by_how_they_were_scaled(write):
    path = write(y=lambda i: i * 0.5)
    digests = {
        digest(nnx.load(path, target="y", standardize=scaled))
        for scaled in ("both", "columns", "targets", "none")
    }
    assert len(digests) == 4


def test_another_table_for_the_network_of_one(write):
    data = nnx.load(write(), target="y")
    data = data._replace(options=data.options._replace(target=()))  # as in a network
    other = load_like(write("other.csv", 9), data, ["y"])
    np.testing.assert_array_equal(other.test.labels, [1, 0, 0] * 3)
    assert other.columns == data.columns
    with pytest.raises(InputError, match="the column of classes is not known"):
        load_like(write("other.csv", 9), data)


@pytest.mark.parametrize("kind", ["csv", "parquet", "npy"])
@pytest.mark.parametrize("both", [[], ["y"]])
def test_another_table_without_the_columns(write, tmp_path, kind, both):
    """Of some columns and of none; the error names all that are there."""
    data, other = nnx.load(write(), target="y"), tmp_path / f"other.{kind}"
    frame = pandas.DataFrame({name: [1, 2, 3] for name in ["p", *both, "q"]})
    if kind == "csv":
        frame.to_csv(other, index=False)
    elif kind == "parquet":
        frame.to_parquet(other, index=False)
    else:
        np.save(other, frame.to_records(index=False))
    missing = "a" if both else "y"
    listed = ", ".join(map(repr, frame.columns))
    with pytest.raises(InputError) as caught:
        load_like(other, data, ["y"])
    words = f"no column is called {missing!r}; there are {listed}"
    assert str(caught.value) == f"{other}: {words}"


@pytest.mark.parametrize("said", [("0", "1"), ("False", "True")])
def test_another_table_for_the_network_of_several_labels(write, said):
    labels = {"l1": lambda i: said[i % 2], "l2": lambda i: said[i % 3 == 0]}
    data = nnx.load(
        write(y=lambda i: i, **labels),
        target=["l1", "l2"],
        drop="y",
        task="multilabel",
    )
    other = load_like(write("other.csv", 6, y=lambda i: i, **labels), data)
    np.testing.assert_array_equal(
        other.test.labels, [[0, 1], [1, 0], [0, 0], [1, 1], [0, 0], [1, 0]]
    )


@pytest.mark.parametrize(
    ("no", "yes"), [("false", "true"), ("FALSE", "TRUE"), ("False", "True")]
)
def test_booleans_in_another_spelling(write, no, yes):
    """R writes TRUE, and SQL true; pandas reads both as its True."""
    spelled = {
        "city": lambda i: no if i % 3 else yes,
        "y": lambda i: no if i % 2 else yes,
    }
    data = nnx.load(write(**spelled), target="y")
    assert data.classes == data.columns[1].categories == (no, yes)
    network = nnx.Network([3, 2]).replace(columns=data.columns, classes=data.classes)
    frame = pandas.DataFrame({"a": [0, 1, 2], "city": [True, False, False]})
    features = network.features(frame)
    np.testing.assert_array_equal(features[:, 1:], [[0, 1], [1, 0], [1, 0]])
    found = nnx.evaluate(network, (frame, frame["city"].rename("y")))
    np.testing.assert_array_equal(found.confusion.sum(axis=1), [2, 1])


BEYOND = 2**53  # float64 has no number between this and the next but one


@pytest.mark.parametrize("kind", ["csv", "parquet", "npy", "frame", "gaps"])
def test_whole_numbers_beyond_float64_are_classes_and_categories_of_their_own(
    tmp_path, kind
):
    names = tuple(str(BEYOND + i) for i in range(3))
    codes = [BEYOND + i % 3 for i in range(40)]
    rows = {"a": range(40), "code": codes, "y": codes[::-1]}
    frame, path = pandas.DataFrame(rows), tmp_path / f"t.{kind}"
    if kind == "gaps":
        frame["code"] = pandas.array([None, *codes[1:]], "Int64")
    if kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "parquet":
        frame.to_parquet(path)
    elif kind == "npy":
        np.save(path, frame.to_records(index=False))
    told = {"categorical": "code", "missing": "fill"}
    if kind in ("frame", "gaps"):
        data = nnx.dataset(frame, "y", **told)
    else:
        data = nnx.load(path, target="y", **told)
        other = load_like(path, data, ["y"])
        np.testing.assert_array_equal(other.test.labels, np.arange(39, -1, -1) % 3)
    assert (data.task, data.classes) == ("classification", names)
    assert data.columns[1].categories == names
    network = nnx.Network([4, 3]).replace(columns=data.columns)
    np.testing.assert_array_equal(
        network.features(frame)[1:, 1:], np.eye(3)[np.arange(1, 40) % 3]
    )


def test_parquet_keeps_categories_beside_gaps(tmp_path):
    column = pandas.array([None, *(BEYOND + i % 3 for i in range(39))], "Int64")
    frame = pandas.DataFrame({"code": column, "y": ["a", "b"] * 20})
    frame.to_parquet(tmp_path / "t.parquet")
    told = {"target": "y", "categorical": "code", "missing": "fill"}
    data = nnx.load(tmp_path / "t.parquet", **told)
    assert data.columns[0].categories == tuple(str(BEYOND + i) for i in range(3))


def test_classes_with_zeros_before_them_keep_their_names(write):
    path = write(y=lambda i: ("01", "02", "1")[i % 3])
    data = nnx.load(path, target="y")
    assert (data.task, data.classes) == ("classification", ("01", "1", "02"))
    other = load_like(write("o.csv", 3, y=lambda i: ("1", "02", "01")[i]), data, ["y"])
    np.testing.assert_array_equal(other.test.labels, [1, 2, 0])
    quoted = write("q.csv", y=lambda i: (" 007", "7")[i % 2])
    assert nnx.load(quoted, target="y").classes == ("007", "7")


def test_many_numbers_with_zeros_before_them_are_numbers(write):
    path = write(y=lambda i: f"{i * 7:04d}")
    assert nnx.load(path, target="y").task == "regression"
    path = write(y=lambda i: f"{i % 13 * 7:04d}")
    assert nnx.load(path, target="y").task == "regression"
    data = nnx.load(path, target="y", task="classification")
    assert data.classes[:2] == ("0000", "0007")
    assert nnx.load(write(a=lambda i: f"{i:03d}"), target="y").columns[0].name == "a"


@pytest.mark.parametrize(
    "field",
    [
        lambda i: f"{i % 7},5",
        lambda i: f"{i % 4 + 1}.234,{i % 3}",
        lambda i: f"${1000 + i:,}.50",
        lambda i: f"{i * 0.5} %",
        lambda i: f"{i % 9}%",
        lambda i: f"{20 + i} m2",
        lambda i: f"{i + 0.5}kg",
        lambda i: "3 lbs" if i == 39 else f"{1000 + i:,} kg",
        lambda i: f"€ {i}",
        lambda i: f"-1 {234 + i}",
        lambda i: "unknown" if i == 39 else f"{i % 9},5",
        lambda i: str(i) if i % 2 else f"{i},5",
    ],
)
def test_numbers_that_are_written_otherwise_are_no_categories(write, field):
    path = write(a=field)
    message = refused(path)
    assert f"t.csv, line 2, column 'a': {field(0)!r} is text" in message
    assert "write them as in 1234.5" in message
    assert "or, if each is a category, give 'a' as categorical" in message
    nnx.load(write(a=lambda i: field(i % 9)), target="y", categorical="a")
    named = refused(write(y=field, a=lambda i: i))
    assert "column 'y'" in named
    assert "or, if each is a category, give task classification" in named
    made = nnx.load(write(y=lambda i: field(i % 9)), target="y", task="classification")
    assert len(made.classes) > 2


@pytest.mark.parametrize(
    "field",
    [
        lambda i: f"2024-01-{i % 9 + 10}",
        lambda i: f"{i % 9 + 1}.1.2024",
        lambda i: f"{i % 9}:30",
        lambda i: f"v1.{i % 5}.0",
        lambda i: ("1,5", "2,5")[i % 2],
        lambda i: ("1", "1,2", "1,2,3", "2,3,4")[i % 4],
        lambda i: f"{i % 4} rooms",
    ],
)
def test_what_is_no_number_is_a_category(write, field):
    data = nnx.load(write(a=field), target="y")
    assert len(data.columns[0].categories) == len({field(i) for i in range(40)})


def test_numbers_before_different_words_have_no_unit(write):
    message = refused(write(a=lambda i: f"{i} {'ap'[i % 2]}m"))
    assert "different texts" in message


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"drop": "y"}, "'y' is the target, and also in drop"),
        ({"target": ["y", "y"]}, "target names 'y' twice"),
        ({"drop": "a", "categorical": "a"}, "'a' is in categorical, and also in drop"),
    ],
)
def test_options_that_say_the_opposite_of_one_another(write, options, words):
    path = write()
    assert words in refused(path, **options)
    y = options.get("target", "y")
    others = {name: of for name, of in options.items() if name != "target"}
    with pytest.raises(InputError, match=words):
        nnx.dataset(pandas.read_csv(path), y, **others)


def test_a_parquet_file_of_text_that_is_no_utf_8(tmp_path):
    import pyarrow as pa
    from pyarrow.parquet import write_table

    bad = pa.py_buffer(b"\xffb")
    ends = pa.py_buffer(np.array([0, 1, 2], np.int32).tobytes())
    text = pa.StringArray.from_buffers(2, ends, bad)
    path = tmp_path / "t.parquet"
    write_table(pa.table({"x": text, "y": [1, 2]}), path)
    with pytest.raises(InputError, match=r"t\.parquet: not a readable .*UTF8"):
        nnx.load(path, target="y")


def test_a_small_parquet_file_is_no_large_table(tmp_path):
    """Eleven kilobytes, which say a text of a megabyte 4,000 times."""
    import pyarrow as pa
    from pyarrow.parquet import write_table

    texts = pa.array(["a" * (1 << 20), "b"])
    said = pa.DictionaryArray.from_arrays(pa.array([0, 1] * 2000, pa.int32()), texts)
    table = pa.table({"x": said, "y": list(range(4000))})
    path = tmp_path / "t.parquet"
    write_table(table, path, compression="zstd", store_schema=False)
    before = pa.default_memory_pool().max_memory()
    assert len(nnx.load(path, target="y").train.labels) == 3600
    assert pa.default_memory_pool().max_memory() - before < 50 << 20


def test_a_damaged_parquet_file(write, tmp_path):
    whole = tmp_path / "t.parquet"
    pandas.read_csv(write()).to_parquet(whole)
    content = whole.read_bytes()
    for at in range(0, len(content), 97):
        whole.write_bytes(content[:at] + b"\xff" + content[at + 1 :])
        try:
            nnx.load(whole, target="y")
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017
        whole.write_bytes(content[:at])
        with pytest.raises(InputError):
            nnx.load(whole, target="y")
