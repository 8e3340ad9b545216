"""Objects in place of networks, data and paths: accepted, or refused in one line.

Each used to raise an error of Python's or NumPy's own, or was taken for something else.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

import nnx
from nnx import Network
from nnx.data.dataset import Dataset, Split
from nnx.errors import InputError
from nnx.model_file import save as save_model

PATHS: dict[str, Callable[[Network, Dataset, Any], object]] = {
    "save": lambda network, data, path: network.save(path),
    "load a model": lambda network, data, path: Network.load(path),
    "out": lambda network, data, path: nnx.train(network, data, epochs=1, out=path),
    "resume": lambda network, data, path: nnx.train(
        network, data, out=path, resume=True
    ),
    "load data": lambda network, data, path: nnx.load(path),
    "train on": lambda network, data, path: nnx.train(network, path, epochs=1),
    "evaluate on": lambda network, data, path: nnx.evaluate(network, path),
    "data_dir": lambda network, data, path: nnx.load("mnist", path or ""),
}


@pytest.mark.parametrize("path", ["", "a\0b", 3, b"digits", ["digits"]], ids=repr)
@pytest.mark.parametrize("door", PATHS)
def test_what_is_no_path(
    door: str,
    path: Any,
    network: Network,
    data: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"^expected (the path of a|a data set)") as r:
        PATHS[door](network, data, path)
    assert "\n" not in str(r.value)
    assert "\0" not in str(r.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", ["runs/a", Path("runs/a")])
def test_paths_as_text_and_as_paths(
    path: str | Path,
    network: Network,
    data: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = nnx.train(network, data, epochs=1, out=path, backend="numpy")
    loaded = Network.load(path)
    assert (loaded.layers[0].weight == result.network.layers[0].weight).all()


def test_a_name_in_place_of_a_data_set(tmp_path: Path) -> None:
    network, data = Network([64, 5, 10]), nnx.load("digits")
    how: dict[str, Any] = {"epochs": 1, "backend": "numpy"}
    ours, named = (nnx.train(network, each, **how) for each in (data, "digits"))
    assert named.train_loss == ours.train_loss
    assert nnx.evaluate(named.network, "digits").loss == ours.test_loss
    assert nnx.gradcheck(named.network, "digits", backend="numpy")
    (tmp_path / "table.csv").write_text("label,a,b,c\n" + "0,1,2,3\n1,3,2,1\n" * 5)
    assert nnx.train(Network([3, 2]), tmp_path / "table.csv", **how).log
    with pytest.raises(InputError, match="mnits: neither a data set nor a path; did"):
        nnx.train(network, "mnits")


@pytest.mark.parametrize("other", [None, 3, "runs/a", [64, 10], nnx])
def test_what_is_no_network(other: Any, data: Dataset) -> None:
    says = rf"^expected an nnx.Network, not a {type(other).__name__}; nnx.Net"
    with pytest.raises(InputError, match=says):
        nnx.train(other, data)


def test_a_result_is_no_network(network: Network, data: Dataset) -> None:
    result = nnx.train(network, data, epochs=1)
    says = "^expected an nnx.Network, not a Result; give result.network$"
    for use in nnx.train, nnx.evaluate:
        with pytest.raises(InputError, match=says):
            use(result, data)


def test_arrays_are_not_loaded() -> None:
    frame = pandas.DataFrame({"a": [1.0]})
    for arrays in frame, np.ones((3, 4)), [1, 2]:
        with pytest.raises(InputError, match="nnx.dataset takes arrays and data"):
            nnx.load(arrays)


@pytest.mark.parametrize("other", [None, 3, np.zeros((3, 25)), {}])
def test_what_is_no_data_set(other: Any, network: Network) -> None:
    for use in nnx.train, nnx.evaluate:
        with pytest.raises(InputError, match="^expected a data set, as nnx.load gives"):
            use(network, other)


def test_data_made_by_hand_of_lists(network: Network, data: Dataset) -> None:
    lists = Split(data.train.images.tolist(), data.train.labels)
    says = r"^train.images of a data set must be an array, not a list: np.asarray"
    with pytest.raises(InputError, match=says):
        nnx.train(network, data._replace(train=lists))
    lists = Split(data.test.images, data.test.labels.tolist())
    with pytest.raises(InputError, match=r"^test.labels of a data set must be an arr"):
        nnx.evaluate(network, data._replace(test=lists))


def test_data_made_by_hand_of_other_arrays(network: Network, data: Dataset) -> None:
    torch = pytest.importorskip("torch", reason="tensors need PyTorch")
    tensors = Split(*map(torch.asarray, data.train))
    says = r"^train.images of a data set must be an array, not a Tensor: np.asarray"
    with pytest.raises(InputError, match=says):
        nnx.train(network, data._replace(train=tensors))
    masked = Split(np.ma.masked_equal(data.train.images, 0), data.train.labels)
    with pytest.raises(InputError, match=r"^masked values in train.images, the first"):
        nnx.train(network, data._replace(train=masked))


@pytest.mark.parametrize("use", ["predict", "predict_proba", "activations"])
@pytest.mark.parametrize(
    ("images", "says"),
    [
        (
            [[1.0, 2.0], [3.0]],
            "^images cannot be converted to an array: .*inhomogeneous",
        ),
        (
            [[1] * 25, [1] * 24],
            "^images cannot be converted to an array: .*inhomogeneous",
        ),
        ([["a"] * 25], "images must be finite numbers"),
        ([[None] * 25], "images must be finite numbers"),
        ("digits", r"expected images of shape \(n, 25\), got \(\)$"),
        ([1] * 25, r"n, 25\), got \(25,\); give one as array\[None\]$"),
        (np.ones((5, 5)), r"n, 25\), got \(5, 5\); give one as array\[None\]$"),
    ],
)
def test_images_that_are_no_rows(
    use: str, images: Any, says: str, network: Network
) -> None:
    with pytest.raises(InputError, match=says) as refused:
        getattr(network, use)(images)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "change", [{"maximum": 0}, {"maximum": -1}, {"height": 4}, {"box": 6}, {"box": 0.5}]
)
def test_a_frame_that_is_none(
    change: dict[str, Any], network: Network, data: Dataset, tmp_path: Path
) -> None:
    frame = data.frame._replace(**change)
    says = r"frame must be whole numbers with height x width = 25, a maximum of 1 or"
    with pytest.raises(InputError, match=f"^{says}"):
        nnx.train(network, data._replace(frame=frame), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match=f"^{says}"):
        network.replace(frame=frame)
    save_model(tmp_path / "model.safetensors", vars(network) | {"frame": frame})
    with pytest.raises(InputError, match=f"model.safetensors: its {says}"):
        Network.load(tmp_path / "model.safetensors")


def test_a_frame_of_numpy_s_numbers(
    network: Network, data: Dataset, tmp_path: Path
) -> None:
    frame = data.frame._replace(maximum=np.int64(255), height=np.int8(5))
    result = nnx.train(network, data._replace(frame=frame), out=tmp_path, epochs=1)
    assert result.network.frame == Network.load(tmp_path).frame == data.frame
