import shutil
from functools import partial

import numpy as np
import pytest
from data_files import refusal, samples, write_idx_folder
from idx_files import IDX_NAMES

from nnx.data import load as load_module
from nnx.data import named
from nnx.data.load import load
from nnx.errors import InputError


@pytest.fixture
def offline(monkeypatch):
    """Any attempt to fetch is an error of its own kind."""

    def fetch(name):
        raise LookupError(f"fetch {name}")

    monkeypatch.setattr(load_module, "fetch", fetch)


refused = partial(refusal, load)


def test_each_kind_of_path(tmp_path):
    write_idx_folder(tmp_path / "idx")
    x, y = samples(9)
    np.savez(tmp_path / "set.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    (tmp_path / "train.csv").write_text("label,p\n0,1\n1,2\n0,3\n1,4\n")
    (tmp_path / "four").mkdir()
    for name in ("train", "test"):
        (tmp_path / "four" / f"{name}_X.csv").write_text("1,2\n3,4\n")
        (tmp_path / "four" / f"{name}_label.csv").write_text("0\n1\n")
    names = ("idx", "set.npz", "train.csv", "four")
    assert [load(tmp_path / name).name for name in names] == [
        "idx",
        "set",
        "train",
        "four",
    ]
    assert load(str(tmp_path / "idx")).train.images.shape == (12, 20)


def test_a_network_s_file_is_no_run(tmp_path):
    """As nnx import and Network.save write it: there is nothing to resume."""
    (tmp_path / "mlp.safetensors").touch()
    assert refused(tmp_path / "mlp.safetensors").endswith("run with its weights")
    assert refused(tmp_path).endswith("run with its weights")
    (tmp_path / "config.toml").touch()
    assert refused(tmp_path).endswith(f"--out {tmp_path} --resume continues its run")


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("under", ["", "kmnist"])
@pytest.mark.parametrize("given", ["argument", "environment"])
def test_folders_for_a_named_set(tmp_path, monkeypatch, under, given):
    write_idx_folder(tmp_path / under)
    if given == "environment":
        monkeypatch.setenv("NNX_DATA_DIR", str(tmp_path))
    data = load("kmnist", tmp_path if given == "argument" else None)
    assert data.name == "kmnist"
    assert data.classes[0] == "o"


@pytest.mark.usefixtures("offline")
def test_given_folder_without_the_files_is_refused(tmp_path):
    message = refused("mnist", tmp_path)
    assert all(name in message for name in IDX_NAMES)
    assert str(tmp_path / "mnist") in message
    assert "nnx data fetch mnist" in message
    assert "no files of mnist" in refused("mnist", tmp_path / "missing")


@pytest.mark.usefixtures("offline")
def test_given_folder_with_some_files_names_the_others(tmp_path):
    write_idx_folder(tmp_path)
    (tmp_path / f"{IDX_NAMES[3]}.gz").unlink()
    assert f"missing {IDX_NAMES[3]}" in refused("mnist", tmp_path)


@pytest.mark.usefixtures("offline")
def test_environment_without_the_files_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setenv("NNX_DATA_DIR", str(tmp_path))
    with pytest.raises(LookupError, match="fetch mnist"):
        load("mnist")


@pytest.mark.usefixtures("offline")
def test_files_of_another_set_are_not_taken(tmp_path, monkeypatch):
    """All sets have the same file names; only the content tells them apart."""
    write_idx_folder(tmp_path)
    labels = (tmp_path / f"{IDX_NAMES[1]}.gz").read_bytes()
    fashion = named.PUBLISHED["fashion-mnist"]
    files = list(fashion.files)
    files[1] = named.File(
        files[1].name, len(labels), named.hashlib.sha256(labels).hexdigest()
    )
    changed = fashion._replace(files=tuple(files))
    monkeypatch.setitem(named.PUBLISHED, "fashion-mnist", changed)
    assert "those there are of fashion-mnist" in refused("mnist", tmp_path)
    monkeypatch.setenv("NNX_DATA_DIR", str(tmp_path))
    with pytest.raises(LookupError, match="fetch mnist"):
        load("mnist")
    assert load("fashion-mnist").name == "fashion-mnist"


def test_unknown_name_lists_names():
    message = refused("nope")
    assert message.startswith("nope: neither a data set nor a path; ")
    assert message.endswith("; the data sets are digits, mnist, fashion-mnist, kmnist")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("mnits", "mnist"),
        ("MNIST", "mnist"),
        ("fashion_mnist", "fashion-mnist"),
        ("Digit", "digits"),
    ],
)
def test_a_name_that_is_nearly_a_data_set_s(given, meant):
    message = refused(given)
    assert message == f"{given}: neither a data set nor a path; did you mean {meant}?"


@pytest.mark.parametrize("options", [{}, {"target": "y"}])
def test_a_missing_path_is_short_and_tells_of_a_near_name(tmp_path, options):
    (tmp_path / "Titanic.csv").touch()
    for given in "titanc.csv", "titanic.csv":
        path = tmp_path / given
        near = f"did you mean {tmp_path / 'Titanic.csv'}?"
        assert refused(path, **options) == f"{path}: no such file or folder; {near}"
    far = tmp_path / "none" / "x.csv"
    assert refused(far) == f"{far}: no such file or folder"


def test_a_data_dir_beside_a_path_is_what_is_wrong(tmp_path):
    (tmp_path / "t.csv").write_text("a,y\n1,2\n")
    for options in {}, {"target": "y"}:
        with pytest.raises(
            InputError, match="data_dir is for mnist, .*leave it out; to"
        ):
            load(tmp_path / "t.csv", tmp_path, **options)


def test_wrong_kinds_of_path(tmp_path):
    empty = refused(tmp_path)
    assert "no data" in empty
    assert IDX_NAMES[0] in empty
    assert "nnx data fetch mnist" in empty
    (tmp_path / "notes.pdf").touch()
    assert "not a kind of file" in refused(tmp_path / "notes.pdf")
    write_idx_folder(tmp_path)
    assert "give the folder" in refused(tmp_path / f"{IDX_NAMES[0]}.gz")


@pytest.mark.parametrize("folder", ["labels", "no pictures", "pixels", "mine"])
@pytest.mark.parametrize(
    ("text", "said", "may_be_a_table"),
    [
        ("label,p,q\n1,2,3\n0,2\n", ", line 3: 2 columns", False),
        ("label,p\n7,1\n7,2\n", ": training needs ≥2 classes", False),
        ("label,p\n0,1\n1,x\n", ", line 3, column 2: 'x' is not a number", True),
        ("label,p\n0,1\n1,\n", ", line 3, column 2: empty field", True),
        ("label,p\n0,1\n1,-3\n", ", line 3, column 2: pixel value -3", True),
        ("label,p\n0,1\n0.5,3\n", ", line 3, column 1: label 0.5", True),
        ("a,b\n0,1\n1,3\n", ": its header has no label column", True),
        ("label,label\n0,1\n1,3\n", ": its header has more than one label", True),
    ],
)
def test_a_hint_is_of_what_is_wrong_and_not_of_the_path(
    tmp_path, folder, text, said, may_be_a_table
):
    path = tmp_path / folder / "x.csv"
    path.parent.mkdir()
    path.write_text(text)
    message = refused(path)
    assert message.startswith(f"{path}{said}")
    assert message.endswith("; to predict a column of a table, name it as target") == (
        may_be_a_table
    )


@pytest.mark.parametrize("name", ["set.npz", "train.csv"])
def test_no_permission(tmp_path, monkeypatch, name):
    (tmp_path / name).touch()

    def denied(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", denied)
    monkeypatch.setattr("io.open", denied)
    message = refused(tmp_path / name)
    assert message == f"{tmp_path / name}: cannot be read: Permission denied"


def test_mapped_files_are_not_changed(tmp_path):
    write_idx_folder(tmp_path / "a", suffix="")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    load(tmp_path / "a")
    for name in IDX_NAMES:
        before, after = (tmp_path / folder / name for folder in "ba")
        assert before.read_bytes() == after.read_bytes()
