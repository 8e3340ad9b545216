"""Features from a table's columns, and from another table with the same columns."""

import numpy as np
import pytest

from nnx.data.columns import features, fit
from nnx.data.dataset import Column
from nnx.data.tabular import Table, Text
from nnx.errors import InputError

NAN = float("nan")


def text(*fields):
    values = sorted({field for field in fields if field})
    codes = [values.index(field) if field else -1 for field in fields]
    return Text(tuple(values), np.array(codes))


def table(**columns):
    values = [
        column if isinstance(column, Text) else np.array(column, float)
        for column in columns.values()
    ]
    names = tuple(columns)
    return Table("t", names, tuple(values), lambda r, c: f"t, row {r}, {names[c]}")


def every(of):
    return np.arange(of.rows)


def test_numbers_are_standardized_by_the_training_rows_alone():
    given = table(a=[1, 3, 100], b=[7, 7, 9])
    columns = fit(given, ["a", "b"], np.array([0, 1]))
    assert columns == (Column("a", 2.0, 1.0), Column("b", 7.0, 1.0))
    x = features(columns, given)
    assert x.dtype == np.float32
    assert x.tolist() == [[-1, 0], [1, 0], [98, 2]]


def test_text_is_a_feature_for_each_category_in_order():
    given = table(n=[0, 0, 0], city=text("Oslo", "Bern", "Oslo"))
    [_, city] = columns = fit(given, ["n", "city"], every(given))
    assert city.categories == ("Bern", "Oslo")
    assert features(columns, given)[:, 1:].tolist() == [[0, 1], [1, 0], [0, 1]]


def test_columns_are_told_apart_by_name():
    given = table(a=[1, 3], b=[5, 9])
    columns = fit(given, ["a", "b"], every(given))
    other = table(c=text("x", "y"), b=[5, 9], a=[1, 3])
    np.testing.assert_array_equal(features(columns, other), features(columns, given))


def test_numbers_that_are_names_of_categories():
    given = table(a=[3, 1, 3.5])
    columns = fit(given, ["a"], every(given), categorical=["a"])
    assert columns[0].categories == ("1", "3", "3.5")
    assert features(columns, given).argmax(axis=1).tolist() == [1, 0, 2]


def test_a_few_texts_among_numbers_are_categories_if_the_column_is():
    given = table(a=text(*"1" * 60, "x"))
    [column] = fit(given, ["a"], every(given), categorical=["a"])
    assert column.categories == ("1", "x")


@pytest.mark.parametrize("median", [0, 2])
def test_empty_fields_are_filled_with_the_median_and_the_most_frequent(median):
    given = table(a=[-1, NAN, median, 9], s=text("x", "", "y", "y"))
    columns = fit(given, ["a", "s"], every(given), fill=True, standardize=False)
    assert [column.fill for column in columns] == [median, "y"]
    assert features(columns, given)[1].tolist() == [median, 0, 1]


def test_numbers_are_standardized_as_they_are_filled():
    given = table(a=[0, NAN, 0, 12])
    x = features(fit(given, ["a"], every(given), fill=True), given)
    assert x.mean() == pytest.approx(0, abs=1e-6)
    assert x.std() == pytest.approx(1)


@pytest.mark.parametrize("fields", ["xy", "yx"])
def test_of_two_equally_frequent_categories_the_first_fills(fields):
    given = table(a=text(*fields, ""))
    assert fit(given, ["a"], every(given), fill=True)[0].fill == "x"


def test_a_constant_is_0_whatever_rounding_makes_of_it():
    given = table(a=[0.1] * 7, b=[1e8 + 0.1] * 7)
    columns = fit(given, ["a", "b"], every(given))
    assert columns == (Column("a", 0.1, 1.0), Column("b", 1e8 + 0.1, 1.0))


@pytest.mark.parametrize(
    "values",
    [
        1_700_000_000_000_000 + np.arange(150),  # microseconds since 1970
        1e-170 * np.arange(150),  # the squares are 0 in float64
        1e30 + 1e15 * np.arange(150),
    ],
)
def test_an_offset_or_a_unit_does_not_keep_numbers_from_being_standardized(values):
    given = table(a=values)
    x = features(fit(given, ["a"], every(given)), given)
    assert x.mean() == pytest.approx(0, abs=0.05)
    assert x.std() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("values", [[0.3, 0.1 + 0.2] * 5, [5e-324, *[0] * 99]])
@pytest.mark.parametrize("sign", [1, -1])
def test_what_only_rounding_tells_apart_is_a_constant(values, sign):
    given = table(a=sign * np.array(values))
    assert fit(given, ["a"], every(given))[0].scale == 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (table(a=[NAN, NAN]), "'a' has only empty fields"),
        (table(a=text("", "")), "'a' has only empty fields"),
        (table(a=[1, np.inf]), "t, row 1, a: inf is too large, or infinite"),
        (table(a=[1, 1e300]), "t, row 1, a: 1e\\+300 is too large"),
        (table(b=[1]), "t: no column is called 'a'; there are 'b'"),
        (table(a=text(*"1" * 60, "x")), "t, row 60, a: 'x' is not a number, unlike"),
        (
            table(a=text(*(f"name {i}" for i in range(21)))),
            "'a' has 21 different texts in 21 rows",
        ),
    ],
)
def test_refuses_to_learn_from(given, words):
    for rows in every(given), every(given)[::-1]:
        with pytest.raises(InputError, match=words):
            fit(given, ["a"], rows)


COLUMNS = Column("a", 0.0, 1.0), Column("s", categories=("x", "y"))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (table(a=text("1", "z"), s=text("x", "x")), "row 1, a: 'z' is not a number"),
        (table(a=[1, NAN], s=text("x", "x")), "row 1, a: empty field"),
        (table(a=[1, 1], s=text("", "x")), "row 0, s: empty field"),
        (table(a=[1, 1], s=text("x", "w")), "row 1, s: 'w' is in no training row; the"),
        (table(a=[1, 1], s=[5, 5]), "s: '5' is in no training row"),
        (table(a=[1, 1]), "no column is called 's'; there are 'a'"),
        (table(a=[1, -np.inf], s=text("x", "x")), "row 1, a: -inf is too large"),
    ],
)
def test_refuses_rows_by_their_place(given, words):
    for rows in None, [1, 0]:
        with pytest.raises(InputError, match=words):
            features(COLUMNS, given, rows)


@pytest.mark.parametrize("rows", [None, [1, 0]])
def test_a_number_far_beyond_the_training_rows(rows):
    columns = (Column("a", 0.0, 1e-30),)
    with pytest.raises(InputError, match="row 1, a: far outside"):
        features(columns, table(a=[0, 1e30]), rows)


def test_more_features_than_memory_holds():
    wide = (Column("s", categories=tuple(map(str, range(10**6)))),) * 2
    with pytest.raises(InputError, match="do not fit"):
        features(wide, table(s=text(*"1" * 1000)))
