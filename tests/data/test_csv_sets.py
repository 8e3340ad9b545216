import numpy as np
import pytest
from data_files import refusal, samples

from nnx.data import csv_rows
from nnx.data.csv_sets import FOLDER, load_file, load_folder
from nnx.data.dataset import Frame
from nnx.data.split import held_out_rows
from nnx.errors import InputError

HEADER = "label,p0,p1,p2,p3"
ROWS = [f"{i % 3},{i},0,255,7" for i in range(20)]


def write(tmp_path, lines, *, end="\n", encoding="utf-8"):
    path = tmp_path / "train.csv"
    path.write_bytes((end.join(lines) + end).encode(encoding))
    return path


def refused(path):
    message = refusal(load_file, path, "mine")
    assert message.startswith(str(path))
    return message


def joined(data):
    """Both parts again in the order of the file, by the first pixel."""
    images = np.concatenate([data.train.images, data.test.images])
    labels = np.concatenate([data.train.labels, data.test.labels])
    order = np.argsort(images[:, 0])
    return images[order], labels[order]


def test_kaggle_file(tmp_path):
    data = load_file(write(tmp_path, [HEADER, *ROWS]), "mine")
    images, labels = joined(data)
    assert images.dtype == np.uint8
    assert images.tolist() == [[i, 0, 255, 7] for i in range(20)]
    assert labels.tolist() == [i % 3 for i in range(20)]
    assert len(data.test.labels) == 2
    assert data.frame == Frame(2, 2, 255, 2)
    assert any("2 of 20 samples" in note for note in data.notes)


def test_held_out_part_is_always_the_same(tmp_path):
    path = write(tmp_path, [HEADER, *ROWS])
    first = load_file(path, "mine")
    np.random.seed(5)
    np.testing.assert_array_equal(
        first.test.images, load_file(path, "mine").test.images
    )


QUOTED = [",".join(f'"{field}"' for field in row.split(",")) for row in [HEADER, *ROWS]]


@pytest.mark.parametrize(
    ("lines", "form"),
    [
        ([HEADER, *ROWS], {"end": "\r\n"}),
        ([HEADER, *ROWS], {"encoding": "utf-8-sig"}),
        (["", HEADER, "", *ROWS, "", ""], {}),
        ([row.replace(",", ";") for row in [HEADER, *ROWS]], {}),
        ([row.replace(",", "\t") for row in [HEADER, *ROWS]], {}),
        (QUOTED, {"end": "\r\n", "encoding": "utf-8-sig"}),
        ([row.replace('",', '\xa0",') for row in QUOTED], {}),
        (["p0,p1,p2,p3, Label", *(f"{i},0,255,7,{i % 3}.0" for i in range(20))], {}),
        (["label,0,1,2,3", *ROWS], {}),
    ],
    ids=[
        "CRLF",
        "BOM",
        "blank",
        "semicolon",
        "tab",
        "quotes",
        "no-break spaces in quotes",
        "label last",
        "numbered",
    ],
)
def test_forms_of_the_file(tmp_path, lines, form):
    images, labels = joined(load_file(write(tmp_path, lines, **form), "mine"))
    assert images.tolist() == [[i, 0, 255, 7] for i in range(20)]
    assert labels.tolist() == [i % 3 for i in range(20)]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([HEADER, *ROWS, "1,2,3,4"], "line 22: 4 columns, but the first line has 5"),
        (
            [HEADER, *(row[:-2] for row in ROWS)],
            "line 2: 4 columns, but the first line",
        ),
        ([HEADER, "", *ROWS, "1,2,3,4,x"], "line 23, column 5: 'x' is not a number"),
        ([HEADER, *ROWS, "1,2,,4,5"], "line 22, column 3: empty field"),
        ([HEADER, *ROWS, "1,2,nan,4,5"], "line 22, column 3: pixel value nan"),
        ([HEADER, *ROWS, "1,2,inf,4,5"], "line 22, column 3: pixel value inf"),
        ([HEADER, *ROWS, "1,2,1e99,4,5"], "line 22, column 3: pixel value inf"),
        ([HEADER, "", *ROWS, "1,2,-3,4,5"], "line 23, column 3: pixel value -3"),
        ([HEADER, *ROWS, "1,256,3,4,5"], "line 22, column 2: pixel value 256"),
        ([HEADER, *ROWS, "-1,2,3,4,5"], "line 22, column 1: label -1 is negative"),
        ([HEADER, *ROWS, "3.5,2,3,4,5"], "line 22, column 1: label 3.5"),
        ([HEADER, *ROWS, "nan,2,3,4,5"], "line 22, column 1: label nan"),
        (["p0,label", "1,0", "300,1"], "line 3, column 1: pixel value 300"),
        (["p0,p1,p2", "1,2,3"], "no label column: usable for predict only"),
        (ROWS, "no label column: usable for predict only"),
        (
            [HEADER, *(f"7{row[1:]}" for row in ROWS)],
            "needs ≥2 classes, found only class 7",
        ),
        ([HEADER], "no samples: only a header line"),
        (["label", "1", "0"], "no samples"),
        ([""], "no samples: the file is empty"),
        ([HEADER, '"1,2,3,4,5'], "line 2: a quote in this row is not closed"),
        ([HEADER, *ROWS, "1,2,3,4,1_0"], "line 22, column 5: '1_0' is not a number"),
        ([HEADER, *ROWS, "1,٣,3,4,5"], r"line 22, column 2: '\u0663' is not a number"),
    ],
)
def test_refuses_by_line_and_column(tmp_path, monkeypatch, lines, said):
    monkeypatch.setattr(csv_rows, "_FEWEST", 7)
    monkeypatch.setattr(csv_rows, "_BLOCK", 1)
    assert said in refused(write(tmp_path, lines))


def test_refuses_a_class_that_all_samples_to_train_on_have(tmp_path):
    _, held_out = held_out_rows(20, 2)
    lines = [HEADER, *(f"{int(i in held_out)},{i},0,255,7" for i in range(20))]
    assert "needs ≥2 classes, found only class 0" in refused(write(tmp_path, lines))


def test_refuses_what_is_not_text(tmp_path):
    path = tmp_path / "train.csv"
    path.write_bytes(b"")
    assert "no samples" in refused(path)
    path.write_bytes(b"label,p\n0,1\n1,\xff\n")
    assert "not UTF-8 text" in refused(path)
    path.write_bytes("label,p\n0,1\n".encode("utf-16"))
    assert "not UTF-8 text" in refused(path)


def write_folder(folder, *, header, one_hot):
    x, y = samples(9, height=2, width=2)
    for name, values in zip(FOLDER, (x, y, x[:3], y[:3]), strict=True):
        if "label" in name and one_hot:
            values = np.eye(3, dtype=int)[values]
        values = values.reshape(len(values), -1)
        names = {
            "none": "",
            "named": ",".join(f"c{i}" for i in range(values.shape[1])),
            "counted": ",".join(str(i) for i in range(values.shape[1])),
            "places": ",".join(f"0_{i}" for i in range(values.shape[1])),
        }[header]
        np.savetxt(folder / name, values, "%d", ",", header=names, comments="")
    return x.reshape(9, 4), y


@pytest.mark.parametrize(
    ("header", "one_hot"),
    [
        ("none", False),
        ("none", True),
        ("named", False),
        ("named", True),
        ("counted", True),
        ("places", False),
    ],
)
def test_folder_of_four(tmp_path, header, one_hot):
    images, labels = write_folder(tmp_path, header=header, one_hot=one_hot)
    data = load_folder(tmp_path, "mine")
    np.testing.assert_array_equal(data.train.images, images)
    np.testing.assert_array_equal(data.train.labels, labels)
    np.testing.assert_array_equal(data.test.images, images[:3])
    np.testing.assert_array_equal(data.test.labels, labels[:3])
    assert data.notes == ()


def test_labels_of_two_classes_begin_with_a_row_and_not_with_names(tmp_path):
    write_folder(tmp_path, header="none", one_hot=False)
    (tmp_path / "train_label.csv").write_text("0,1\n1,0\n0,1\n" * 3)
    (tmp_path / "test_label.csv").write_text("0,1\n1,0\n0,1\n")
    data = load_folder(tmp_path, "mine")
    assert data.train.labels.tolist() == [1, 0, 1] * 3
    assert data.test.labels.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("train_label.csv", "1\n0\n", "train_X.csv has 9 images, but .* has 2 labels"),
        (
            "test_label.csv",
            "1\n0\n3\n",
            "test_label.csv, line 3, column 1: label 3, exp",
        ),
        ("test_label.csv", "1,0,0\n0,1,1\n0,0,1\n", "test_label.csv, line 2.*2 ones"),
        (
            "test_X.csv",
            "1,2\n3,4\n5,6\n",
            "2 pixels per image, but .*train_X.csv has 4",
        ),
    ],
)
def test_folder_refuses(tmp_path, name, text, said):
    write_folder(tmp_path, header="none", one_hot=False)
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=said):
        load_folder(tmp_path, "mine")


def test_folder_names_what_is_missing(tmp_path):
    (tmp_path / "train_X.csv").write_text("1\n")
    with pytest.raises(
        InputError, match=r"missing train_label.csv, test_X.csv, test_l"
    ):
        load_folder(tmp_path, "mine")


def test_binary_pixels_that_are_no_picture_keep_their_brightest_value(tmp_path):
    lines = ["label,p0,p1", *(f"{i % 2},{i % 2},0" for i in range(6))]
    data = load_file(write(tmp_path, lines), "mine")
    assert data.frame == (1, 2, 1, 0)
    assert data.train.images.dtype == np.uint8
    assert data.train.images.max() == 1
