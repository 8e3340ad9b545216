from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from nnx.data import picture
from nnx.data.dataset import Frame
from nnx.data.image_folder import holds_pictures, load
from nnx.errors import InputError


@pytest.fixture
def flat(monkeypatch):
    """Every picture has the grey of the last number in its file's name."""

    def read(path, frame):
        assert frame == Frame(28, 28, 255, 20)
        return SimpleNamespace(pixels=np.full((28, 28), int(path.stem), np.uint8))

    monkeypatch.setattr(picture, "read", read)


def write(folder, classes, count=2, suffix=".png"):
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            (folder / name / f"{10 * number + i + 1}{suffix}").touch()


def greys(split):
    return dict(zip(split.images[:, 0].tolist(), split.labels.tolist(), strict=True))


@pytest.mark.usefixtures("flat")
def test_one_folder_holds_a_tenth_out(tmp_path):
    write(tmp_path, ["cat", "ape", ".hidden", "__MACOSX"], count=8)
    data = load(tmp_path, "mine")
    assert data.classes == ("ape", "cat")
    assert len(data.train.labels) == 15
    assert len(data.test.labels) == 1
    found = greys(data.train) | greys(data.test)
    assert found == {i + 1: 1 for i in range(8)} | {11 + i: 0 for i in range(8)}
    assert data.frame == Frame(28, 28, 255, 20)


@pytest.mark.usefixtures("flat")
def test_two_parts(tmp_path):
    write(tmp_path / "train", ["10", "9", "0"])
    write(tmp_path / "test", ["10"], suffix=".JPG")
    for ignored in "a.webp", "._11.png", "notes.txt":
        (tmp_path / "train" / "9" / ignored).touch()
    (tmp_path / "train" / "9" / "more.png").mkdir()
    (tmp_path / "valid").mkdir()
    data = load(tmp_path, "mine")
    assert data.classes == ("0", "9", "10")
    assert greys(data.train) == {1: 2, 2: 2, 11: 1, 12: 1, 21: 0, 22: 0}
    assert greys(data.test) == {1: 2, 2: 2}
    last = tmp_path / "train" / "9" / "notes.txt"
    assert f"not read: 3, such as {last}; pictures are files that" in data.notes[0]
    assert f"{tmp_path}: not read beside train and test: 'valid'" in data.notes


def test_says_how_pictures_are_prepared_and_which_are_empty(tmp_path):
    """A photograph becomes a small shape, and a page without one nothing at all."""
    for name, grey in ("a", 0), ("b", 90):
        for i in range(6):
            photo = Image.new("L", (50, 40), 255)
            photo.paste(grey, (10, 10, 20 + i, 30))
            (tmp_path / name).mkdir(exist_ok=True)
            photo.save(tmp_path / name / f"{i}.png")
    data = load(tmp_path, "mine")
    as_drawings = "every picture becomes a light shape on black, of 28x28 pixels"
    assert f"{as_drawings}, as nnx predict prepares it" in data.notes[0]
    assert "color or more pixels, give an .npz with each" in data.notes[0]
    assert not any("nothing stands out" in note for note in data.notes)
    for i in 2, 4:
        Image.new("L", (50, 40), 200).save(tmp_path / "b" / f"{i}.png")
    empty = load(tmp_path, "mine").notes[0]
    place = tmp_path / "b" / "2.png"
    assert empty == f"in 2 of 12 pictures nothing stands out, so all is 0: {place}, …"


@pytest.mark.usefixtures("flat")
def test_refuses_folders(tmp_path):
    write(tmp_path, ["7"])
    with pytest.raises(InputError, match=r"needs ≥2 classes.*found only 7"):
        load(tmp_path, "mine")
    (tmp_path / "8").mkdir()
    with pytest.raises(InputError, match="8: no pictures"):
        load(tmp_path, "mine")


@pytest.mark.usefixtures("flat")
def test_refuses_a_test_class_that_is_not_trained(tmp_path):
    write(tmp_path / "train", ["0", "1"])
    write(tmp_path / "test", ["0", "2"])
    with pytest.raises(
        InputError,
        match="2: the training pictures have no class of this name",
    ):
        load(tmp_path, "mine")


def test_looks_for_pictures_where_they_belong(tmp_path):
    assert not holds_pictures(tmp_path)
    write(tmp_path / "train", ["0"])
    assert holds_pictures(tmp_path)


def test_real_pictures(tmp_path):
    for name, column in (("left", 4), ("right", 20)):
        (tmp_path / name).mkdir()
        pixels = np.zeros((28, 28), np.uint8)
        pixels[4:24, column : column + 4] = 255
        for i in range(5):
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
    data = load(tmp_path, "mine")
    assert data.train.images.shape == (9, 784)
    assert data.train.images.dtype == np.uint8
    assert data.train.images.any()


def test_a_picture_that_cannot_be_read_is_named(tmp_path):
    write(tmp_path, ["a", "b"])
    with pytest.raises(InputError, match=r"1\.png"):
        load(tmp_path, "mine")
