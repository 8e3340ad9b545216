"""What a model keeps of its training pictures, and which pictures it then doubts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load as tensors_of
from safetensors.numpy import save as serialize
from threadpoolctl import threadpool_info

import nnx
from nnx import model_file
from nnx.data.dataset import Frame
from nnx.data.picture import Picture
from nnx.errors import InputError
from nnx.likeness import UNLIKE, UNSURE, directions, doubt, doubts, fitted


@pytest.fixture(scope="module")
def data() -> nnx.Dataset:
    return nnx.load("digits")


@pytest.fixture(scope="module")
def network(data: nnx.Dataset) -> nnx.Network:
    result = nnx.train(nnx.Network([64, 32, 10]), data, epochs=30, backend="numpy")
    return result.network


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(InputError, match=r"as nnx.read_picture gives it, not a int"):
        doubt(nnx.Network([4, 2]), 3)  # type: ignore[arg-type]


def test_few_of_its_own_kind_are_doubted_and_most_of_others(
    network: nnx.Network, data: nnx.Dataset
) -> None:
    def doubted(images: np.ndarray) -> np.ndarray:
        chances = network.predict_proba(images, backend="numpy")
        said = doubts(network.likeness, images, chances, network.frame)
        return np.array([doubt is not None for doubt in said])

    images = data.test.images
    right = network.predict(images, backend="numpy") == data.test.labels
    assert doubted(images)[right].mean() < 0.03
    assert doubted(images)[~right].mean() > 0.3
    upright = images.reshape(-1, 8, 8)
    sideways = np.rot90(upright, axes=(1, 2))[~np.isin(data.test.labels, (0, 1, 8))]
    assert doubted(sideways).mean() > 0.9
    noise = np.random.default_rng(0).integers(0, 17, (200, 64), np.uint8)
    assert doubted(noise).mean() > 0.9


def test_directions_are_of_strokes_and_not_of_brightness() -> None:
    upright = np.zeros((8, 8), np.uint8)
    upright[:, 3:5] = 100
    images = np.stack([upright, upright // 2, upright.T])
    fields = directions(images, Frame(8, 8, 255, 8)).reshape(3, 4, 16)
    np.testing.assert_allclose(np.linalg.norm(fields, axis=(1, 2)), 1, rtol=1e-5)
    np.testing.assert_allclose(fields[0], fields[1], atol=1e-5)
    assert (fields[0].sum(axis=1).argmax(), fields[2].sum(axis=1).argmax()) == (0, 2)


def test_it_is_kept_in_the_model_s_file(network: nnx.Network, tmp_path: Path) -> None:
    network.save(tmp_path / "model")
    loaded = nnx.Network.load(tmp_path / "model")
    assert network.likeness is not None
    assert loaded.likeness is not None
    for own, other in zip(network.likeness, loaded.likeness, strict=True):
        np.testing.assert_array_equal(own, other)
    without = network.replace(likeness=None)
    without.save(tmp_path / "without")
    assert nnx.Network.load(tmp_path / "without").likeness is None


def test_it_is_learnt_with_one_thread_of_blas(
    data: nnx.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last bits depend on how many there are, which are no part of a model."""
    threads = []

    def counting(*given: Any) -> Any:
        pools = threadpool_info()
        threads.extend(p["num_threads"] for p in pools if p["user_api"] == "blas")
        return fitted(*given)

    monkeypatch.setattr("nnx.training.result.fitted", counting)
    # So large a batch that its products have all threads.
    network = nnx.Network([64, 300, 500, 10])
    nnx.train(network, data, epochs=1, batch_size=256, backend="numpy")
    assert set(threads) == {1}


def test_features_that_are_no_pictures_have_none(data: nnx.Dataset) -> None:
    rows = data._replace(frame=Frame(1, 64, 16, 0))
    result = nnx.train(nnx.Network([64, 10]), rows, epochs=1, backend="numpy")
    assert result.network.likeness is None


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("mean", np.zeros((10, 3), np.float32), "likeness.mean should have shape"),
        ("spread", np.zeros(10, np.float32), "likeness.spread .* not above 0"),
        ("limits", np.full(2, np.nan, np.float32), "likeness.limits .* not finite"),
        ("axes", None, "has no tensor likeness.axes"),
    ],
)
def test_one_that_is_damaged_is_refused(
    network: nnx.Network,
    tmp_path: Path,
    name: str,
    array: np.ndarray | None,
    words: str,
) -> None:
    path = tmp_path / "model"
    network.save(path)
    metadata, _ = model_file.read(path)
    tensors = tensors_of(path.read_bytes())
    del tensors[f"likeness.{name}"]
    if array is not None:
        tensors[f"likeness.{name}"] = array
    path.write_bytes(serialize(tensors, metadata))
    with pytest.raises(InputError, match=words):
        nnx.Network.load(path)


def test_of_few_pictures_nothing_is_learnt(data: nnx.Dataset) -> None:
    few = nnx.Split(data.train.images[:200], data.train.labels[:200])
    chances = np.eye(10)[data.test.labels]
    assert fitted(few, data.test, chances, data.frame) is None
    own = data.train.labels < 9  # and none at all of the last class
    few = nnx.Split(data.train.images[own], data.train.labels[own])
    assert fitted(few, data.test, chances, data.frame) is None


def test_of_pictures_that_are_all_alike_they_are_told_from_others() -> None:
    images = np.repeat([np.eye(8), np.eye(8)[::-1]], 50, axis=0).reshape(100, 64)
    alike, frame = nnx.Split(images, np.repeat([0, 1], 50)), Frame(8, 8, 1, 8)
    known = fitted(alike, alike, np.eye(2)[alike.labels], frame)
    assert known is not None
    assert (known.spread > 0).all()
    upright = np.zeros((1, 64))
    upright[:, 3::8] = 1
    chances = np.eye(2)[[0, 1, 0]]
    said = doubts(known, np.concatenate([images[[0, 99]], upright]), chances, frame)
    assert said == [None, None, UNLIKE]


def test_without_it_a_guess_is_doubted_alone(network: nnx.Network) -> None:
    bare = network.replace(likeness=None)
    chances = np.array([[0.6, 0.4], [0.4, 0.4]])
    images = np.zeros((2, 64), np.uint8)
    assert doubts(bare.likeness, images, chances, bare.frame) == [None, UNSURE]


def test_a_picture_s_own_doubt_comes_first(network: nnx.Network) -> None:
    noise = np.random.default_rng(1).integers(0, 17, (8, 8), np.uint8)
    for said, expected in (
        ("noise", "noise"),
        ("two shapes", "two shapes"),
        (None, UNLIKE),
    ):
        assert nnx.doubt(network, Picture(noise, (), said), backend="numpy") == expected
    words = network.replace(classes=tuple(name * 2 for name in network.classes))
    picture = Picture(noise, (), "two shapes")
    assert nnx.doubt(words, picture, backend="numpy") == UNLIKE
    several = network.replace(task="multilabel")  # none of them may be likely
    assert nnx.doubt(several, Picture(noise, (), None), backend="numpy") is None
