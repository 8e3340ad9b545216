"""Model files: the same network back, the same bytes, and nothing wrong is loaded."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from bits import assert_same_bits
from safetensors.numpy import load as tensors_of
from safetensors.numpy import save as serialize

from nnx import Network, files, model_file
from nnx.data.dataset import Column, Frame
from nnx.errors import InputError


@pytest.fixture
def network() -> Network:
    return Network([25, 8, 3], "tanh", seed=3).replace(
        classes=("a", "b", "c"), frame=Frame(5, 5, 16, 5), pixels="raw"
    )


def test_there_and_back(network: Network, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    network.save(path)
    for loaded in (Network.load(path), Network.load(tmp_path)):
        for name in ("activation", "classes", "frame", "pixels", "sizes"):
            assert getattr(loaded, name) == getattr(network, name)
        assert_same_bits(network.layers, loaded.layers)
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


def test_the_same_network_gives_the_same_bytes(
    network: Network, tmp_path: Path
) -> None:
    network.save(tmp_path / "a")
    network.save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_columns_are_written_as_in_format_2(tmp_path: Path) -> None:
    """Another field of a column is for a new format, which reads the old ones too.

    Exports and `inputs` compute only (value - mean) / scale and categories: a field
    that changes what a column becomes has to be in `export/interface.py` as well.
    """
    columns = Column("x", 2.0, 0.5, 1.0), Column("town", 0.0, 1.0, "b", ("a", "b"))
    network = Network([3, 2]).replace(columns=columns)
    path = tmp_path / "model.safetensors"
    network.save(path)
    described = json.loads(model_file.read(path)[0][model_file.KEY])
    assert described["format"] == 2
    written = [["x", 2.0, 0.5, 1.0, []], ["town", 0.0, 1.0, "b", ["a", "b"]]]
    assert described["columns"] == written
    assert Network.load(path).columns == columns


def _rewritten(path: Path, change: dict, drop: str = "", **tensors: np.ndarray) -> None:
    """Write the file again with other metadata and tensors."""
    described = model_file.read(path)[0][model_file.KEY]
    arrays = tensors_of(path.read_bytes()) | tensors
    arrays.pop(drop, None)
    metadata = {model_file.KEY: json.dumps(json.loads(described) | change)}
    path.write_bytes(serialize(arrays, metadata))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 3}, "newer nnx .format 3"),
        ({"task": "clustering"}, "contradicts itself"),
        ({"task": "regression"}, "contradicts itself"),
        ({"targets": [["y", 0.0, 1.0]]}, "contradicts itself"),
        ({"columns": [["x", 0.0, 1.0, None, []]]}, "contradicts itself"),
        ({"columns": [["x", 0.0, 0.0, None, []]] * 25}, "contradicts itself"),
        ({"columns": [["x", 0.0, 1.0, None, [3]]]}, "not a model"),
        ({"columns": [["x", "y"]]}, "not a model"),
        ({"columns": [["x", 0.0, 1.0, "b", ["a"]]] * 25}, "x' cannot be 'b'"),
        ({"columns": [["x", 0.0, 1.0, 10**400, []]] * 25}, "not a model"),
        ({"columns": [["x", 10**400, 1.0, None, []]] * 25}, "not a model"),
        ({"activations": ["os.system", "identity"]}, "unknown activation 'os.system'"),
        ({"activations": ["tanh"]}, "contradicts itself"),
        ({"sizes": [25, 8, 10**12]}, "should have shape"),
        ({"sizes": [25, 8, 3, 3]}, "has no tensor layers.2.weight"),
        ({"sizes": 5}, "not a model written by nnx"),
        ({"sizes": [25]}, "contradicts itself"),
        ({"classes": ["a"]}, "contradicts itself"),
        ({"pixels": "squared"}, "contradicts itself"),
        ({"frame": [5, 6, 255, 5]}, "its frame must be whole numbers with height x"),
        ({"frame": [5, 5]}, "not a model written by nnx"),
    ],
)
def test_a_description_that_is_not_true(
    network: Network, tmp_path: Path, change: dict, words: str
) -> None:
    path = tmp_path / "model.safetensors"
    network.save(path)
    _rewritten(path, change)
    with pytest.raises(InputError, match=words):
        Network.load(path)


def test_weights_that_are_not_finite(network: Network, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    network.save(path)
    _rewritten(path, {}, **{"layers.1.bias": np.full(3, np.nan, np.float32)})
    with pytest.raises(
        InputError, match=r"layers\.1\.bias holds values that are not finite"
    ):
        Network.load(path)


@pytest.mark.parametrize("name", ["layers.0.bias", "layers.1.weight"])
def test_layers_of_two_dtypes(network: Network, tmp_path: Path, name: str) -> None:
    """A backend takes all for what the first is."""
    path = tmp_path / "model.safetensors"
    network.save(path)
    _rewritten(path, {}, **{name: tensors_of(path.read_bytes())[name].astype(float)})
    with pytest.raises(InputError, match="its layers are float32 and float64"):
        Network.load(path)


def test_a_missing_tensor(network: Network, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    network.save(path)
    _rewritten(path, {}, drop="layers.0.weight")
    with pytest.raises(InputError, match=r"has no tensor layers\.0\.weight"):
        Network.load(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 7,
        pickle.dumps({"a": 1}),
        b"PK\x03\x04" + b"0" * 100,
        b"\xff" * 300,
    ],
    ids=["empty", "short", "pickle", "zip", "noise"],
)
def test_files_of_another_kind(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a safetensors file"):
        Network.load(path)


def test_a_safetensors_file_of_another_program(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(serialize({"w": np.zeros(3)}, {"format": "pt"}))
    with pytest.raises(InputError, match="not a model written by nnx"):
        Network.load(path)


def test_numbers_that_numpy_has_not(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    header = b'{"w":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    # NumPy has it once a library like JAX has been imported.
    with pytest.raises(InputError, match="a kind that NumPy lacks|not a model"):
        Network.load(path)


def test_more_tensors_than_memory_has_room_for(tmp_path: Path) -> None:
    """safetensors would take gigabytes to read this, or end the process."""
    path = tmp_path / "model.safetensors"
    none = '{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
    header = "{" + ",".join(f'"{i}":{none}' for i in range(200_000)) + "}"
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode())
    with pytest.raises(InputError, match="it says that it has too many tensors"):
        Network.load(path)


def test_a_long_description_is_no_fault(network: Network, tmp_path: Path) -> None:
    classes = ("a" * 5_000_000, '"' * 100, "\\" * 99)
    network.replace(classes=classes).save(tmp_path / "model.safetensors")
    assert Network.load(tmp_path).classes == classes


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        Network.load(tmp_path / "nothing")
    with pytest.raises(InputError, match="holds no model.safetensors"):
        Network.load(tmp_path)


def test_a_failed_write_leaves_the_old_file(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(InputError, match=r"cannot write [\d,]+ bytes: No space left"):
        network.save(path)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]
