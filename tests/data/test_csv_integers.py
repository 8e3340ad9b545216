import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnx.data.csv_integers import integers

NUMBERS = st.one_of(st.integers(0, 255), st.integers(0, 10**15 - 1)).map(str)
OTHERS = [
    "-1",
    "+1",
    "007",
    "00",
    "1.5",
    "12:30",
    "1/2",
    "1e3",
    "nan",
    "1" * 16,
    "\u0663",
]


def lines_of(rows, delimiter=",", ending="\n"):
    return [delimiter.join(row) + ending for row in rows]


@given(
    width=st.integers(1, 5),
    delimiter=st.sampled_from(",;\t"),
    ending=st.sampled_from(["\n", "\r\n"]),
    data=st.data(),
)
def test_the_numbers_are_those_of_loadtxt(width, delimiter, ending, data):
    row = st.lists(NUMBERS, min_size=width, max_size=width)
    rows = data.draw(st.lists(row, min_size=1, max_size=6))
    lines = lines_of(rows, delimiter, ending)
    if data.draw(st.booleans()):
        lines[-1] = lines[-1].removesuffix(ending)
    ours = integers(lines, width, delimiter)
    theirs = np.loadtxt(lines, comments=None, delimiter=delimiter, ndmin=2)
    np.testing.assert_array_equal(ours, theirs)
    assert ours.dtype == np.float64
    assert ours.shape == (len(rows), width)


@pytest.mark.parametrize("other", [*OTHERS, " 1", "1 ", ""])
@pytest.mark.parametrize("row", range(3))
@pytest.mark.parametrize("column", range(2))
def test_any_other_field_is_left_to_others(other, row, column):
    rows = [["10", "0"] for _ in range(3)]
    rows[row][column] = other
    assert integers(lines_of(rows), 2, ",") is None


@pytest.mark.parametrize(
    "lines",
    [
        ["1,2\n", "3\n", "4,5,6\n"],  # as many numbers as three lines of two
        ["1,2\n", "3;4\n"],
        ["1,2,\n"],
        ["1,2\n", "3,4\r", "5,6\n"],
        ['"1",2\n'],
        ["1,2\0\n"],
    ],
)
def test_lines_of_another_form(lines):
    assert integers(lines, 2, ",") is None
