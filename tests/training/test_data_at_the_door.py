"""What data a run takes, and which it refuses before anything is moved."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from usable import usable

from nnx import Network, dataset, evaluate, train
from nnx.backend import Backend
from nnx.data.dataset import Dataset
from nnx.errors import InputError

SETTINGS = {"epochs": 3, "batch_size": 16, "learning_rate": 0.3, "l2": 1e-3, "seed": 5}


def test_a_network_that_does_not_fit(data: Dataset) -> None:
    with pytest.raises(InputError, match=r"blobs has 25 features and 3 classes"):
        train(Network([24, 3]), data)
    x, y = data.train.images / 255, np.arange(len(data.train.labels))
    with pytest.raises(InputError) as refused:
        train(Network([25, 8, len(y)]), (x, y))
    assert str(refused.value) == (
        f"in memory has 25 features and 1 targets; a network 25-8-{len(y)} does not "
        "fit it: its sizes must begin with 25 and end with 1; the target is taken for "
        'numbers: for classes, give its data set task="classification", as in '
        'nnx.dataset(x, y, task="classification")'
    )
    as_told = dataset(x, y * 1.5, task="regression")
    with pytest.raises(InputError, match="end with 1$"):
        train(Network([25, 8, 3]), as_told)


@pytest.mark.parametrize("pixels", ["unit", "raw"])
def test_pixels_as_bytes_or_as_fractions_train_alike(
    pixels: str, data: Dataset
) -> None:
    network = Network([25, 7, 3], "tanh", dtype="float64")
    scaled = data._replace(
        train=data.train._replace(images=(data.train.images / 255)),
        test=data.test._replace(images=(data.test.images / 255)),
    )
    settings = SETTINGS | {"pixels": pixels, "learning_rate": 1e-3}
    mixed = data._replace(test=scaled.test)
    a, b, c = (train(network, each, **settings) for each in (data, scaled, mixed))
    np.testing.assert_allclose(
        a.network.layers[0].weight, b.network.layers[0].weight, rtol=1e-6
    )
    assert [b.test_loss, c.test_loss] == pytest.approx([a.test_loss] * 2, rel=1e-6)


@pytest.mark.parametrize("dtype", ["float16", ">f4", ">i2", "uint16", "int64"])
@pytest.mark.parametrize("name", ["numba", "torch", "jax"])
def test_pixels_of_other_types(
    name: str, dtype: str, network: Network, data: Dataset
) -> None:
    pixels = data.train.images
    if np.dtype(dtype).kind == "f":
        pixels = pixels / 255
    odd = data._replace(train=data.train._replace(images=pixels.astype(dtype)))
    own, plain = (
        train(network, odd, backend=backend, **SETTINGS)
        for backend in (usable(name), "numpy")
    )
    assert own.test_loss == pytest.approx(plain.test_loss, rel=1e-4)
    images = odd.train.images
    chances = (own.network.predict_proba(images, backend=b) for b in (name, "numpy"))
    np.testing.assert_allclose(*chances, rtol=1e-4)


def test_read_only_data(network: Network, data: Dataset) -> None:
    for array in (*data.train, *data.test):
        array.setflags(write=False)
    train(network, data, **SETTINGS)


def _labelled(data: Dataset, part: str, labels: Any) -> Dataset:
    """Return the data with other labels in one part."""
    split = getattr(data, part)
    return data._replace(**{part: split._replace(labels=labels)})


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda labels: np.where(np.arange(len(labels)) == 7, 2, labels),
            "7 has label 2",
        ),
        (lambda labels: labels - 1, "image 0 has label -1, expected 0 to 1"),
        (lambda labels: labels / 1.0, "float64 labels of shape"),
        (lambda labels: labels[:-1], "each of .* images, got int64 labels of shape"),
        (lambda labels: labels[:, None], "labels of shape .*, 1"),
    ],
)
def test_10_no_label_reaches_a_device_unchecked(
    data: Dataset, reference: Backend, part: str, change: Any, words: str
) -> None:
    """Data may be made by hand; a GPU reads an index that is too high as another."""
    moved: list[str] = []

    def from_numpy(array: Any) -> Any:
        moved.append(str(array.shape))
        return reference.from_numpy(array)

    watched = replace(reference, from_numpy=from_numpy)
    two = data._replace(classes=("a", "b"))
    for name in ("train", "test"):
        two = _labelled(two, name, getattr(data, name).labels % 2)
    labels = change(getattr(two, part).labels)
    wrong = _labelled(two, part, labels)
    network = Network([25, 2])
    with pytest.raises(InputError, match=words):
        train(network, wrong, backend=watched, epochs=1)
    assert str(labels.shape) not in moved
    if part == "test":
        model = train(network, two, epochs=1).network
        with pytest.raises(InputError, match=words):
            evaluate(model, wrong, backend=watched)
        assert str(labels.shape) not in moved


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda images: images[:0], r"expected images of shape \(n, 25\), got \(0, 25"),
        (lambda images: images[:, :-1], "expected images|does not fit"),
        (lambda images: images.reshape(-1), "expected images"),
        (lambda images: np.where(images > 0, np.nan, 0.0), "must be finite numbers"),
        (lambda images: np.where(images > 0, np.inf, 0.0), "must be finite numbers"),
        (lambda images: images.astype(complex), "must be finite numbers"),
    ],
)
def test_images_that_are_none_are_refused_at_the_door(
    network: Network, data: Dataset, part: str, change: Any, words: str
) -> None:
    split = getattr(data, part)
    images = change(split.images)
    labels = split.labels[: len(images)]
    wrong = data._replace(**{part: split._replace(images=images, labels=labels)})
    with pytest.raises(InputError, match=words):
        train(network, wrong, epochs=1)


def test_a_class_without_images_is_not_predicted(
    network: Network, data: Dataset
) -> None:
    """Its part of a smoothed label, times what it would count, is more than the rest.

    The images of another class are then taken for it.
    """
    there = data.train.labels != 0
    part = data.train._replace(
        images=data.train.images[there], labels=data.train.labels[there]
    )
    rare = data._replace(train=part, test=part)
    options = {"class_weights": "balanced", "label_smoothing": 0.3}
    result = train(network, rare, epochs=20, learning_rate=0.5, **options)
    predicted = result.network.predict(part.images)
    assert (predicted == part.labels).mean() > 0.9
