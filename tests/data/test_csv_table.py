"""CSV files as named columns: what is read, and what is refused, with its place."""

import numpy as np
import pytest
from data_files import refusal

from nnx.data import csv_rows, csv_table, limits
from nnx.data.csv_table import read
from nnx.data.tabular import Text
from nnx.data.unlabelled import of_pixels
from nnx.errors import InputError


@pytest.fixture
def table(tmp_path):
    def write(content, **kwargs):
        path = tmp_path / "table.csv"
        data = content if isinstance(content, bytes) else content.encode()
        path.write_bytes(data)
        return read(path, **kwargs)

    return write


def refused(table, content, **kwargs):
    return refusal(table, content, **kwargs).partition("table.csv")[2]


def said(column):
    """What a column's rows say, None where empty."""
    if isinstance(column, Text):
        return [column.values[code] if code >= 0 else None for code in column.codes]
    return [None if np.isnan(value) else value for value in column]


def test_columns_of_numbers_and_of_text(table):
    found = table("age,city\n1,Oslo\n2.5, Bern \nNA ,NA\n1e3,Oslo\n")
    assert found.names == ("age", "city")
    assert said(found.values[0]) == [1, 2.5, None, 1000]
    assert said(found.values[1]) == ["Oslo", "Bern", None, "Oslo"]
    assert found.rows == 4


@pytest.mark.parametrize("word", ["", "NA", "N/A", "NaN", "nan", "null", "NULL"])
def test_words_for_an_empty_field(table, word):
    found = table(f"age,city\n1,Oslo\n{word},{word}\n")
    assert [said(column) for column in found.values] == [[1, None], ["Oslo", None]]


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("a;b\n1;x, y\n", "semicolons"),
        ("a\tb\n1\tx, y\n", "tabs"),
        ('a,b\r\n1,"x, y"\r\n', "quotes and CRLF"),
        ('a,b\r1,"x, y"\r', "carriage returns alone"),
        ('\ufeff"a", "b"\n\n1, "x, y"\n \n', "mark, spaces and blank lines"),
    ],
    ids=lambda value: value if " " in value or value.isalpha() else "",
)
def test_forms_of_the_file(table, content, name):
    found = table(content)
    assert found.names == ("a", "b")
    assert [said(column) for column in found.values] == [[1], ["x, y"]]


def test_a_quoted_field_goes_on_in_the_next_line(table):
    found = table('a,b\n"x\ny",1\nz,2\n,3\n')
    assert said(found.values[0]) == ["x\ny", "z", None]
    assert found.place(0, 1).endswith("line 2, column 'b'")
    assert found.place(2, 0).endswith("line 5, column 'a'")


@pytest.mark.parametrize("nothing", ["  ", '""'])
@pytest.mark.parametrize("block", [1, 4096])
@pytest.mark.parametrize("row", [0, 1, 3])
def test_a_line_of_nothing_is_an_empty_field_of_a_single_column(
    table, tmp_path, monkeypatch, nothing, block, row
):
    monkeypatch.setattr(csv_rows, "_FEWEST", 1)
    monkeypatch.setattr(csv_rows, "_BLOCK", block)
    lines, values = ["7", "8", "9"], [7, 8, 9]
    lines.insert(row, nothing)
    values.insert(row, None)
    found = table("\n".join([" ", "", "a", *lines]))
    assert said(found.values[0]) == values
    blocks = [each for each, _ in csv_table.read_blocks(tmp_path / "table.csv")]
    assert [v for each in blocks for v in said(each.values[0])] == values
    place = f"line {4 + row}, column 'a'"
    assert found.place(row, 0).endswith(place)
    with pytest.raises(InputError, match=f"{place}: empty field, where a pixel"):
        list(of_pixels(tmp_path / "table.csv", 1, 255))


def test_blank_lines_before_a_single_column_without_a_name(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("\n  \n1\n2\n")
    [block] = of_pixels(path, 1, 255)
    assert block.images.tolist() == [[1], [2]]


def test_text_that_comes_late_is_text_from_the_first_row(table, monkeypatch):
    monkeypatch.setattr(csv_rows, "_FEWEST", 1)
    monkeypatch.setattr(csv_rows, "_BLOCK", 4)
    lines = [f"{i},{i}" for i in range(9)] + ["9,x", "10,10"]
    found = table("\n".join(["a,b", *lines]))
    assert said(found.values[0]) == list(range(11))
    assert said(found.values[1]) == [*map(str, range(9)), "x", "10"]


def test_a_file_of_numbers_is_parsed_once(table, tmp_path, monkeypatch):
    monkeypatch.setattr(csv_rows.CsvFile, "_field_blocks", None)
    assert table("a,b\n1,2\n3,4\n").rows == 2
    [(block, _)] = csv_table.read_blocks(tmp_path / "table.csv")
    assert block.rows == 2


def test_numbers_that_no_other_program_reads_are_text(table):
    found = table("a,b,c,d\n1_0,\u0661,0x1,1#\n2_0,\u0662,0x2,2#\n")
    assert all(isinstance(column, Text) for column in found.values)
    numbers, text = table("a,b\n1.5,2#3\n2.5,4#\n").values
    assert said(numbers) == [1.5, 2.5]
    assert said(text) == ["2#3", "4#"]


def test_the_first_line_of_a_table_names_its_columns_also_by_numbers(table):
    assert table("city,2019\nOslo,1\n").names == ("city", "2019")
    assert table("2018,2019\n3,1\n").names == ("2018", "2019")


def test_columns_that_are_text_though_they_hold_numbers(table):
    found = table("a,b\n01,1\n1,2\n", text=["a"])
    assert said(found.values[0]) == ["01", "1"]


def test_only_some_columns(table):
    content = "a,b,c\n1,2,3\n"
    assert table(content, only=["c", "a"]).names == ("a", "c")
    assert table(content, without=["b"]).names == ("a", "c")
    assert "no column is called 'd'" in refused(table, content, without=["d"])


def test_a_column_without_a_name_is_left_out_and_said(table):
    found = table(",a\n0,5\n1,6\n")
    assert found.names == ("a",)
    assert found.notes == ("column 1 has no name: left out",)
    assert found.place(1, 0).endswith("line 3, column 'a'")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ": no rows: the file is empty"),
        ('""\n', ": no rows: the file is empty"),
        ("a,b\n", ": no rows: only a header line"),
        ("a,b\n1,2\n\n3\n", ", line 4: 1 columns, but the first line has 2"),
        ("a,b\n1,2\n3,4,5\n", ", line 3: 3 columns, but the first line has 2"),
        ("a,b,a\n1,2,3\n", ", column 1: another one is also called 'a'"),
        ('a,b\n1,2\n3,"4\n5,6\n', ", line 3: a quote in this row is not closed"),
        ('a,b\n1,"2"3\n', ", line 2: a quote in this row is not closed, or not doub"),
        (b"a,b\n1,\xff\n", ": not UTF-8 text (invalid start byte): save it as UTF-8"),
        (b"a,b\n1,2\n3,\0\n", ", line 3: not text: it has NUL bytes"),
        ("a,b\n1,2\n".encode("utf-16"), ": not UTF-8 text"),
        ("a,b\n1,2\n".encode("utf-16-le"), ", line 1: not text: it has NUL bytes"),
        ("a,b\n1," + "x" * 200_000 + "\n", ", line 2: a quote in this row"),
    ],
)
@pytest.mark.parametrize("chunk", [5, csv_rows._CHUNK])
def test_refuses(table, monkeypatch, content, words, chunk):
    monkeypatch.setattr(csv_rows, "_CHUNK", chunk)
    assert refused(table, content).startswith(words)


def test_columns_without_end(table):
    names = ",".join(f"c{i}" for i in range(10**6))
    content = f"{names}\n{names}\n"
    assert "1,000,000 columns; at most 100,000" in refused(table, content)


@pytest.mark.parametrize("chunk", [4000, csv_rows._CHUNK])
@pytest.mark.parametrize("end", ["", "\n"])
def test_a_row_without_end(table, monkeypatch, chunk, end):
    monkeypatch.setattr(csv_rows, "LONGEST_LINE", 5000)
    monkeypatch.setattr(csv_rows, "_CHUNK", chunk)
    for length in 2600, 5000:
        content = "a,b\n1,2\n" + "3," * length + end
        assert "a line is too long" in refused(table, content)
    assert table("a,b\r" + "1,2\r" * 5000).rows == 5000


def test_a_file_of_nothing_is_refused_at_once(tmp_path):
    """Its gigabytes are holes, which no disk holds, and no memory should."""
    path = tmp_path / "table.csv"
    with open(path, "wb") as file:
        file.write(b"a,b\n1,2\n")
        file.truncate(3 << 30)
    with pytest.raises(InputError, match="line 3: not text: it has NUL bytes"):
        read(path)


def test_more_numbers_than_memory_holds(table, monkeypatch):
    assert limits.MAX_UNPACKED == 4 << 30
    monkeypatch.setattr(limits, "MAX_UNPACKED", 100)
    assert "as numbers, the most that is read" in refused(table, "a,b\n" + "1,2\n" * 9)


def test_more_text_than_memory_holds(table, monkeypatch):
    monkeypatch.setattr(csv_table, "_MAX_TEXT", 100)
    content = "a,b\n" + "\n".join(f"text number {i},1" for i in range(9))
    assert "column 1: over" in refused(table, content)
    assert table(content, without=["a"]).rows == 9
    monkeypatch.setattr(csv_rows, "_FEWEST", 1)
    monkeypatch.setattr(csv_rows, "_BLOCK", 4)
    few = "a,b\n" + "\n".join(f"text number {i % 3},1" for i in range(99))
    assert table(few).rows == 99
