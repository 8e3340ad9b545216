"""Data sets of arrays and frames in memory: what is inferred, and what never is."""

import re
from functools import partial

import numpy as np
import pandas
import pytest
from data_files import refusal

import nnx
from nnx.data.from_memory import split_like
from nnx.errors import InputError

GENERATOR = np.random.default_rng(0)
PICTURES = GENERATOR.integers(0, 256, (60, 4, 5), np.uint8)
CLASSES = np.arange(60) % 3
FRAME = pandas.DataFrame(
    {
        "age": np.arange(60) * 1.5,
        "city": ["Oslo", "Bern", None] * 20,
        "old": np.arange(60) > 30,
    }
)


refused = partial(refusal, nnx.dataset)


def test_pictures_of_bytes():
    data = nnx.dataset(PICTURES, CLASSES)
    assert data.frame == (4, 5, 255, 4)
    assert data.classes == ("0", "1", "2")
    assert [part.images.dtype for part in data.parts] == [np.uint8] * 2
    assert [len(part.labels) for part in data.parts] == [54, 6]
    assert data.source == "in memory"


@pytest.mark.parametrize("scale", ["auto", "none"])
@pytest.mark.parametrize(("rows", "tested"), [(4, 4), (9, 9), (10, 1), (20, 2)])
def test_too_few_rows_to_hold_any_out(rows, tested, scale):
    """XOR cannot be learned from three rows, nor be tested on the fourth."""
    x = np.arange(rows * 3).reshape(rows, 3) / 60
    data = nnx.dataset(x, np.arange(rows) % 2, scale=scale)
    assert len(data.test.labels) == tested
    every = np.concatenate([data.train.images, data.test.images])
    assert len(np.unique(every, axis=0)) == rows
    note = f"no test part, and too few [a-z]+ to hold any out: the {rows} to train on"
    assert any(re.match(note, said) for said in data.notes) == (rows == tested)


def test_a_test_part_of_its_own():
    data = nnx.dataset(PICTURES, CLASSES, PICTURES[:7], CLASSES[:7])
    np.testing.assert_array_equal(data.train.images, PICTURES.reshape(60, 20))
    np.testing.assert_array_equal(data.test.labels, CLASSES[:7])
    assert "no test part" not in " ".join(data.notes)


@pytest.mark.parametrize("scale", ["auto", "standard"])
@pytest.mark.parametrize(
    ("y", "other"),
    [
        (pandas.Series(CLASSES, name="kind"), CLASSES),
        (CLASSES, pandas.Series(CLASSES, name="kind")),
        (pandas.DataFrame({"kind": CLASSES}), pandas.Series(CLASSES, name="label")),
    ],
)
def test_classes_of_another_part_need_no_name(y, other, scale):
    x = PICTURES.reshape(60, 20)
    parts = {"validation": (x[:8], other[:8]), "scale": scale}
    data = nnx.dataset(x, y, x[:7], other[:7], **parts)
    np.testing.assert_array_equal(data.test.labels, CLASSES[:7])
    np.testing.assert_array_equal(data.validation.labels, CLASSES[:8])


def test_floats_from_0_to_1_are_as_they_are():
    x = GENERATOR.random((60, 7))
    data = nnx.dataset(x, CLASSES, x[:9], CLASSES[:9])
    np.testing.assert_array_equal(data.train.images, x.astype(np.float32))


@pytest.mark.parametrize(
    ("x", "range_"),
    [
        (PICTURES.astype(float), "x is float64 from 0 to 255"),
        (PICTURES.astype(float) / 17, "from 0 to 15"),
        (PICTURES / 255 - 0.5, "x is float64 from -0.5 to 0.5"),
        (PICTURES.astype(int), "x is int64 from 0 to 255"),
        (PICTURES.astype(np.int8), "x is int8 from -128 to 127"),
        (PICTURES.astype(np.uint16), "x is uint16 from 0 to 255"),
        (np.full((60, 3), 2, int), "x is int64 from 2 to 2"),
    ],
)
def test_a_scale_is_never_guessed(x, range_):
    message = refused(x, CLASSES)
    assert message.startswith(range_) or range_ in message
    assert (
        "give the brightest pixel's value, as in scale=255; or scale=\"stand" in message
    )


def test_a_scale_that_is_told():
    whole = nnx.dataset(PICTURES.astype(float), CLASSES, scale=255)
    assert whole.frame.maximum == 255
    assert whole.train.images.dtype == np.uint8
    part = nnx.dataset(
        PICTURES / 2, CLASSES, scale=128, x_test=PICTURES / 2, y_test=CLASSES
    )
    assert part.frame.maximum == 128
    np.testing.assert_allclose(
        part.train.images, PICTURES.reshape(60, -1) / 256, rtol=1e-6
    )
    large = nnx.dataset(4 * PICTURES.astype(int), CLASSES, scale=1020)
    np.testing.assert_allclose(large.train.images, whole.train.images / 255, rtol=1e-6)
    assert "x[0, 0]: pixel value" in refused(PICTURES.astype(int) + 1, CLASSES, scale=1)
    assert "x[0, 0]: pixel value nan" in refused(PICTURES * np.nan, CLASSES, scale=255)
    for scale in 0, -1, 0.5, 1.5, 2**31, True, "standardize", None:
        assert "scale must be one of auto, standard" in refused(
            PICTURES, CLASSES, scale=scale
        )


def test_columns_of_an_array():
    x = GENERATOR.normal(5, 2, (60, 3))
    scaled = nnx.dataset(x, CLASSES, scale="standard")
    assert [column.name for column in scaled.columns] == ["x0", "x1", "x2"]
    assert scaled.train.images.std(axis=0) == pytest.approx([1, 1, 1])
    plain = nnx.dataset(x, x[:, 0], x, x[:, 0], scale="none")
    np.testing.assert_array_equal(plain.train.images, x.astype(np.float32))
    assert plain.targets[0].scale == pytest.approx(x[:, 0].std())
    raw = nnx.dataset(x, x[:, 0], scale="none", standardize="columns")
    assert raw.targets[0][1:] == (0, 1)


def test_a_column_of_an_array_is_left_out_of_each_part():
    x = GENERATOR.normal(5, 2, (60, 3))
    parts = {"x_test": x[:7], "y_test": CLASSES[:7], "validation": (x, CLASSES)}
    data = nnx.dataset(x, CLASSES, scale="standard", drop=["x1"], **parts)
    assert [column.name for column in data.columns] == ["x0", "x2"]
    np.testing.assert_array_equal(data.test.images, data.train.images[:7])
    np.testing.assert_array_equal(data.validation.images, data.train.images)


def test_targets_are_standardized_by_the_training_rows_alone():
    labels = nnx.dataset(PICTURES, np.arange(60) ** 2 / 7).train.labels
    assert labels.mean() == pytest.approx(0)
    assert labels.std() == pytest.approx(1)


@pytest.mark.parametrize(
    ("y", "task", "outputs"),
    [
        (["cat", "dog", "eel"] * 20, "classification", ("cat", "dog", "eel")),
        (CLASSES + 4.0, "classification", ("4", "5", "6")),
        (np.eye(3)[CLASSES], "classification", ("0", "1", "2")),
        (CLASSES > 0, "classification", ("False", "True")),
        (CLASSES / 2, "regression", ("target",)),
        (np.stack([CLASSES > 0, CLASSES > 1], 1), "multilabel", ("target0", "target1")),
        (np.stack([CLASSES, CLASSES / 7], 1), "regression", ("target0", "target1")),
        (pandas.Series(CLASSES * 0.3, name="rent"), "regression", ("rent",)),
        (pandas.DataFrame({"u": CLASSES, "v": CLASSES}), "regression", ("u", "v")),
    ],
)
def test_what_is_learnt_is_told_by_y(y, task, outputs):
    data = nnx.dataset(PICTURES, y)
    assert data.task == task
    assert (data.classes or tuple(t.name for t in data.targets)) == outputs


@pytest.mark.parametrize("scale", ["auto", "standard"])
@pytest.mark.parametrize("y", [[[1, 1, 0], [0, 0, 0]], [[0.5, 1, 0], [2, 0, 0]]])
def test_a_part_of_several_columns_that_looks_one_hot_is_not(y, scale):
    """Each row of a small part may have a single 1 by chance."""
    x, few = np.eye(20)[:, :4], (np.eye(20)[:2, :4], [[0, 1, 0], [1, 0, 0]])
    options = {"scale": scale, "standardize": "columns"}
    data = nnx.dataset(x, y * 10, *few, validation=few, **options)
    for part in data.test, data.validation:
        np.testing.assert_array_equal(part.labels, few[1])


def test_a_frame_and_the_name_of_a_column():
    data = nnx.dataset(FRAME, "old", missing="fill")
    assert data.classes == ("False", "True")
    assert [column.name for column in data.columns] == ["age", "city"]
    assert data.columns[1].fill in ("Bern", "Oslo")
    several = nnx.dataset(FRAME.assign(far=1.5), ["age", "far"], drop=["city"])
    assert [target.name for target in several.targets] == ["age", "far"]


def test_a_frame_and_an_array():
    data = nnx.dataset(
        FRAME[["age"]], list("abc" * 20), FRAME[["age"]], list("abc" * 20)
    )
    assert data.classes == ("a", "b", "c")
    assert data.task == "classification"


def test_a_frame_is_as_its_file(tmp_path):
    FRAME.to_csv(tmp_path / "t.csv", index=False)
    options = {"missing": "fill", "categorical": ["age"], "drop": "city"}
    ours = nnx.dataset(FRAME.assign(age=np.arange(60) % 4), "old", **options)
    FRAME.assign(age=np.arange(60) % 4).to_csv(tmp_path / "t.csv", index=False)
    theirs = nnx.load(tmp_path / "t.csv", target="old", **options)
    assert ours.columns == theirs.columns
    np.testing.assert_array_equal(ours.test.images, theirs.test.images)


def test_booleans_are_predicted_as_they_were_trained_on():
    x = PICTURES > 127
    network = nnx.train(nnx.Network([20, 3]), (x, CLASSES), epochs=1).network
    expected = network.predict_proba(x.astype(np.uint8))
    for given in x, x.tolist(), x.astype(object):
        np.testing.assert_array_equal(network.predict_proba(given), expected)
    np.testing.assert_array_equal(
        network.activations(x), network.activations(x.astype(np.uint8))
    )


def test_booleans_are_black_and_white_to_any_network():
    network = nnx.train(nnx.Network([20, 3]), (PICTURES, CLASSES), epochs=1).network
    assert network.frame.maximum == 255
    x = PICTURES > 127
    np.testing.assert_allclose(
        network.predict_proba(x), network.predict_proba(x * np.uint8(255)), rtol=1e-5
    )


def test_two_classes_with_one_name_are_refused():
    data = nnx.dataset(PICTURES, CLASSES)._replace(classes=("a", "b", "a"))
    with pytest.raises(InputError, match="two classes have the same name"):
        nnx.train(nnx.Network([20, 3]), data, epochs=1)


DOORS = {
    "dataset": nnx.dataset,
    "standard": lambda x, y: nnx.dataset(x, y, scale="standard"),
    "validation": lambda x, y: nnx.dataset(PICTURES / 255, CLASSES, validation=(x, y)),
    "train": lambda x, y: nnx.train(nnx.Network([20, 3]), (x, y), epochs=1),
    "predict": lambda x, y: nnx.Network([20, 3]).predict(x),
}


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("door", DOORS)
def test_tensors_with_a_gradient_are_taken_as_their_numbers(door):
    torch = pytest.importorskip("torch", reason="tensors need PyTorch")
    x = torch.rand(60, 20)
    for given in x.clone().requires_grad_(), torch._neg_view(-x):
        DOORS[door](given, torch.tensor(CLASSES))
    nested = torch.nested.nested_tensor(list(x))
    for given in [*x.requires_grad_()], nested, torch.complex(x, x).conj():
        if door != "predict" and isinstance(given, list):
            continue
        with pytest.raises(InputError, match=r"^[^\n]*$"):
            DOORS[door](given, CLASSES)


@pytest.mark.parametrize("door", DOORS)
def test_masked_values_are_refused(door):
    x = np.ma.masked_less(PICTURES.reshape(60, 20) / 255, 0)
    DOORS[door](x, CLASSES)
    x[4, 2] = np.ma.masked
    with pytest.raises(InputError, match=r"^[^\n]*, the first at \[4, 2\]: fill them"):
        DOORS[door](x, CLASSES)
    if door != "predict":
        with pytest.raises(
            InputError, match=r"^masked values in y[^\n]*, the first at \[2\]"
        ):
            DOORS[door](x.data, np.ma.masked_equal(CLASSES, 2))


def test_a_masked_column_of_a_data_frame_is_refused():
    class Frame(dict):  # as a table of Astropy
        columns = property(list)

    frame = Frame(a=np.ma.masked_equal(np.arange(60), 7), y=CLASSES)
    assert "masked values in x, column 'a', the first at [7]: f" in refused(frame, "y")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((PICTURES, CLASSES[:9]), "x has 60 rows, and y 9"),
        (
            (PICTURES, CLASSES, PICTURES[:5], CLASSES[:4]),
            "x_test has 5 rows, and y_test 4",
        ),
        ((PICTURES, CLASSES, PICTURES), "x_test and y_test go together"),
        ((PICTURES[:, 0, 0], CLASSES), "x should have shape (n, features) or"),
        ((PICTURES[:0], CLASSES[:0]), "x has no numbers"),
        ((PICTURES.astype(str), CLASSES), "x has no numbers: <U3"),
        (([[3.0, "a"]] * 60, CLASSES), "(60, 2); give columns of text as a data frame"),
        ((PICTURES, CLASSES * 0), "training needs ≥2 classes"),
        ((PICTURES, [None, *CLASSES[1:]]), "y, row 0 (from 0), column 'target': the"),
        (
            (PICTURES, CLASSES, PICTURES[:, :3], CLASSES),
            "x_test has 15 features, and x",
        ),
        (
            (PICTURES, CLASSES, PICTURES / 255, CLASSES),
            "x_test is float64, and x uint8",
        ),
        ((PICTURES * np.nan, CLASSES), "x[0, 0]: pixel value nan is not a finite"),
        ((PICTURES, np.array([1j] * 60)), "y, column 0: is complex128, neither"),
        (
            (PICTURES, CLASSES / 2, PICTURES, np.stack([CLASSES, CLASSES], 1)),
            "y_test has 2 columns, not 1",
        ),
        (
            (PICTURES, CLASSES / 2, PICTURES, FRAME[["age", "old"]]),
            "y_test has 2 columns, not 1",
        ),
        ((FRAME[:5], list("abc" * 20)), "x has 5 rows, and y 60"),
        ((FRAME[["age"]], [None, *CLASSES[1:]]), "y, row 0 (from 0), column 'target'"),
        ((FRAME, "rent"), "x: no column is called 'rent'; there are 'age', 'city'"),
        ((FRAME, FRAME.age), "'age' is a column of both x and y"),
        ((FRAME, "old"), "(from 0), column 'city': empty field"),
        ((FRAME.assign(d=pandas.Timestamp(0)), "old"), "x, column 'd': is datetime64"),
        ((FRAME.assign(d=[[]] * 60), "old"), "x, column 'd': holds list, neither"),
        ((FRAME[:0], "old"), "x: no rows"),
    ],
)
def test_refuses(args, words):
    assert words in refused(*args)


def test_rows_to_choose_by_that_are_not_as_many_as_their_classes():
    validation = PICTURES[:5], CLASSES[:4]
    message = refused(PICTURES, CLASSES, validation=validation)
    assert message == "x of validation has 5 rows, and y of validation 4"


def test_options_of_frames_are_refused_beside_pixels():
    assert "are for data frames" in refused(PICTURES, CLASSES, drop="a")
    assert "a data frame's columns are not pixels" in refused(FRAME, "old", scale=255)


@pytest.mark.parametrize(
    ("option", "instead"),
    [
        ("target", "it as y"),
        ("test_data", "x_test and y_t"),
        ("validation_data", "val"),
    ],
)
def test_an_option_of_a_file_is_not_ignored(option, instead):
    for x in FRAME[["age"]], FRAME[["age"]].to_numpy() / 99:
        message = refused(x, CLASSES, **{option: "other.csv"})
        assert message.startswith(f"nnx.dataset takes no {option}: give {instead}")


def test_more_rows_are_made_as_the_data_set_was():
    data = nnx.dataset(PICTURES, ["cat", "dog", "eel"] * 20)
    more = split_like(data, PICTURES[:6] / 255, ["eel"] * 6)
    assert more.labels.tolist() == [2] * 6
    assert more.images.dtype == np.float32
    numbered = nnx.dataset(PICTURES, CLASSES)
    black, labels = split_like(numbered, PICTURES > 127, np.eye(3)[CLASSES])
    assert (black.dtype, black.max()) == (np.float32, 1)
    assert labels.tolist() == CLASSES.tolist()
    with pytest.raises(InputError, match="x of validation is float64 from 0 to 255"):
        split_like(data, PICTURES.astype(float), ["eel"] * 60)
    with pytest.raises(InputError, match=r"validation\[0, 0\]: pixel value nan is not"):
        split_like(data, PICTURES * np.nan, ["eel"] * 60)
    with pytest.raises(InputError, match="class 'owl' is in no training row"):
        split_like(data, PICTURES[:1], ["owl"])
    table = nnx.dataset(FRAME[["age", "old"]], "old")
    again = split_like(table, FRAME, "old")
    assert again.images.shape == (60, 1)
    with pytest.raises(InputError, match="names city; what is predicted is old"):
        split_like(table, FRAME, "city")


def test_targets_of_a_frame_are_found_by_name():
    targets = pandas.DataFrame({"u": CLASSES * 0.5, "v": CLASSES * 7.0})
    data = nnx.dataset(FRAME[["age"]], targets)
    for y in targets, targets[["v", "u"]]:
        labels = split_like(data, FRAME, y).labels
        assert (labels == split_like(data, FRAME, targets.to_numpy()).labels).all()


def test_a_data_set_says_what_it_is_and_what_was_decided():
    x = np.random.default_rng(0).random((200, 4))
    data = nnx.dataset(
        x, np.arange(200) % 50, name="mine", validation=(x, x[:, 0] * 50)
    )
    assert repr(data).splitlines() == [
        "Dataset mine: regression of target",
        "  train      (180, 4) float32",
        "  test       (20, 4) float32",
        "  validation (200, 4) float32",
        *(f"  {note}" for note in data.notes),
    ]
    decided = (
        "target 'target': regression, as it has 50 different whole numbers: for "
        "classes, give task classification"
    )
    assert decided in data.notes
    of_floats = nnx.dataset(x, x[:, 0])
    assert (
        "target 'target': regression, as not all are whole numbers" in of_floats.notes
    )
    digits = repr(nnx.load("digits")).splitlines()
    assert digits[0] == "Dataset digits: classification of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    many = nnx.dataset(x, [f"class {i:030d}" for i in range(100)] * 2)
    assert len(repr(many).splitlines()[0]) == 100


@pytest.mark.parametrize("shape", [(60, 1, 4, 5), (60, 4, 5, 1)])
def test_pictures_with_an_axis_of_one_channel(shape):
    """First as in PyTorch, or last as in Keras."""
    data = nnx.dataset(PICTURES.reshape(shape), CLASSES)
    plain = nnx.dataset(PICTURES, CLASSES)
    assert data.frame == plain.frame
    assert (data.train.images == plain.train.images).all()
    more = split_like(plain, PICTURES.reshape(shape), CLASSES)
    assert more.images.shape == (60, 20)
    assert "not (60, 2, 2, 5)" in refused(PICTURES.reshape(60, 2, 2, 5), CLASSES)


def test_what_is_no_array_is_named():
    data, y = nnx.dataset(PICTURES, CLASSES), list(CLASSES)
    assert refused((row for row in PICTURES), y).startswith("x: a generator is no ar")
    for kind, given in ("set", {*y}), ("dict_values", dict(enumerate(y)).values()):
        assert refused(PICTURES, given) == (
            f"y: a {kind} is no array: give an array or a list"
        )
    network = nnx.Network([20, 3])
    table = nnx.dataset(FRAME[["age"]], CLASSES)
    of_table = nnx.Network([1, 3]).replace(columns=table.columns)
    for asked, given in (network, data), (network, data.test), (of_table, table):
        with pytest.raises(
            InputError, match=r"^images: .* array, as data\.test\.images"
        ):
            asked.predict(given)


def test_sparse_matrices_are_refused_with_a_way_out():
    sparse = pytest.importorskip("scipy.sparse", reason="needs SciPy")
    dense = np.random.default_rng(0).random((60, 4))
    says = "a sparse matrix, give what toarray() returns"
    for kind in sparse.csr_matrix, sparse.coo_array:
        assert refused(kind(dense), CLASSES) == f"x: {says}"
        assert refused(dense, kind(np.eye(3)[CLASSES % 3])) == f"y: {says}"
        with pytest.raises(InputError, match="^images: a sparse matrix, give"):
            nnx.Network([4, 2]).predict(kind(dense))


def test_numbers_that_pandas_calls_categories():
    codes = pandas.Series([3, 1, 7] * 20)
    frame = FRAME[["age"]].assign(code=codes, more=codes, old=codes)
    ours = frame.astype({"code": "category", "more": "category", "old": "category"})
    options = {"drop": ["more"], "x_test": frame, "y_test": "old"}
    theirs = nnx.dataset(frame, "old", categorical=["code"], **options)
    data = nnx.dataset(ours, "old", **options)
    assert data.columns == theirs.columns
    assert data.columns[1].categories == data.classes == ("1", "3", "7")
    np.testing.assert_array_equal(data.test.images, theirs.test.images)
    assert data.options == theirs.options


def test_one_hot_columns_are_labels_with_a_remark():
    """Columns have names, so they are labels as in a file; an array's are classes."""
    frame = pandas.get_dummies(FRAME.city.fillna("Rome")).assign(age=FRAME.age)
    cities = ["Bern", "Oslo", "Rome"]
    remark = "0 or 1; each row has a single 1: for classes, give one column"
    for x, y in (frame, cities), (frame[["age"]], frame[cities].astype(int)):
        data = nnx.dataset(x, y)
        assert (data.task, data.classes) == ("multilabel", tuple(cities))
        assert any(note.endswith(remark) for note in data.notes)
    both = nnx.dataset(frame.assign(Rome=True), cities)
    assert any(note.endswith("as all are 0 or 1") for note in both.notes)


def test_a_table_of_pyarrow_is_a_frame():
    pyarrow = pytest.importorskip("pyarrow", reason="needs PyArrow")
    ours, theirs = (
        nnx.dataset(frame, "old", missing="fill")
        for frame in (pyarrow.Table.from_pandas(FRAME), FRAME)
    )
    assert ours.columns == theirs.columns
    np.testing.assert_array_equal(ours.train.images, theirs.train.images)


def test_a_column_of_arrays():
    frame = FRAME.assign(age=list(np.ones((60, 3))))
    says = "x, column 'age': holds ndarray, neither numbers nor text: leave it out"
    assert refused(frame, "old").startswith(says)


def test_a_frame_that_is_not_computed_yet():
    class LazyFrame:  # as of Polars
        columns = ("a", "old")

        def __getitem__(self, name):
            raise TypeError("'LazyFrame' object is not subscriptable")

        def collect(self):
            return FRAME

    message = "x is a LazyFrame, without rows yet: give its collect()"
    assert refused(LazyFrame(), "old") == message
    assert refused(FRAME.drop(columns="old"), LazyFrame()).startswith("y is a LazyFr")
