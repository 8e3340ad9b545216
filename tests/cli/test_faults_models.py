"""Model files that are damaged, forged or too new: refused in one line."""

import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_files import CSV, Attack, change_model
from safetensors.numpy import save as serialize

from nnx.network import Network

Refused = Callable[..., str]
Run = Callable[..., Any]


@pytest.fixture
def model(old_run: Path) -> Path:
    return old_run / "model.safetensors"


def cut(content: bytes) -> bytes:
    return content[:-7]


def flipped(content: bytes) -> bytes:
    return content[:-5] + bytes([content[-5] ^ 1]) + content[-4:]


def foreign(content: bytes) -> bytes:
    return serialize({"weight": np.zeros((2, 2))}, {"format": "pt"})


def huge_header(content: bytes) -> bytes:
    return struct.pack("<Q", 2**62) + content[8:]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (cut, "not a safetensors file"),
        (flipped, "damaged: its checksum is wrong"),
        (foreign, "not a model written by nnx"),
        (huge_header, "not a safetensors file"),
        (lambda content: b"", "not a safetensors file"),
        (lambda content: b"PK\x03\x04" + content, "not a safetensors file"),
    ],
    ids=["cut", "bit-flip", "foreign", "huge-header", "empty", "zip"],
)
def test_41_damaged_files(
    refused: Refused, model: Path, changed: Callable[[bytes], bytes], says: str
) -> None:
    model.write_bytes(changed(model.read_bytes()))
    refused("evaluate", model, says=(f"{model}: ", says))


def test_41_a_pickle_is_not_loaded(refused: Refused, model: Path, cwd: Path) -> None:
    model.write_bytes(pickle.dumps(Attack(cwd / "attacked")))
    refused("predict", model, "a.png", says=(f"{model}: not a safetensors file",))


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_41_what_is_no_model(refused: Refused, cwd: Path, command: str) -> None:
    file = ["a.png"] if command == "predict" else []
    says = ("nothing: no such file; give a run's folder or a model in it",)
    refused(command, "nothing", *file, says=says)
    refused(command, cwd, *file, says=("holds no model.safetensors and no checkp",))


@pytest.mark.parametrize(
    ("description", "tensors", "says"),
    [
        ({"format": 3}, {}, "by a newer nnx (format 3; this one reads up to 2)"),
        ({"activations": ["swash", "identity"]}, {}, "unknown activation 'swash'"),
        ({"activations": ["os.abort", "identity"]}, {}, "unknown activation 'os.ab"),
        ({"sizes": [16, 10**12, 3]}, {}, "layers.0.weight should have shape (16, 1"),
        ({"sizes": [16, 5]}, {}, "contradicts itself"),
        ({"classes": [1, 2, 3]}, {}, "contradicts itself"),
        ({"frame": [4, 4, 255, 10**9]}, {}, "its frame must be whole numbers"),
        ({"frame": [4.0, 4, 255, 4]}, {}, "its frame must be whole numbers"),
        ({}, {"layers.7.bias": np.zeros(2, np.float32)}, "layers.7.bias belongs to n"),
        ({}, {"layers.0.bias": np.full(5, np.nan, np.float32)}, "not finite"),
        ({}, {"layers.0.bias": np.zeros(5, np.int64)}, "has (5,) in int64"),
        ({"pixels": "raw"}, {}, "damaged: its checksum is wrong"),
        ("[" * 100_000, {}, "not a model written by nnx"),
    ],
    ids=str,
)
def test_42_and_43_forged_descriptions(
    refused: Refused,
    model: Path,
    description: Any,
    tensors: dict[str, np.ndarray],
    says: str,
) -> None:
    change_model(model, description, **tensors)
    refused("evaluate", model, says=(f"{model}: ", says))


def test_data_of_another_kind(refused: Refused, old_run: Path, cwd: Path) -> None:
    says = "table does not fit the network", "are 3, 2 (0 1), 255", "16, 3 (0 1 2), 255"
    (cwd / "table.csv").write_text(CSV)
    refused("evaluate", old_run, "--dataset", "table.csv", says=says)
    (old_run / "config.toml").unlink()
    says = ("old run: has no config.toml to name the data; give --dataset",)
    refused("evaluate", old_run, says=says)
    (old_run / "model.safetensors").rename(cwd / "alone.safetensors")
    says = ("nnx: alone.safetensors: has no config.toml beside it to name the data; ",)
    refused("evaluate", "alone.safetensors", says=says)


def test_a_checkpoint_that_is_damaged_is_not_resumed(
    refused: Refused, old_run: Path
) -> None:
    checkpoint = old_run / "checkpoint.safetensors"
    checkpoint.write_bytes(flipped(checkpoint.read_bytes()))
    says = ("checkpoint.safetensors: damaged: its checksum is wrong",)
    train = "train", "--out", old_run, "--resume", "--epochs", 5, "--quiet"
    refused(*train, says=says)
    (old_run / "checkpoint.safetensors").write_bytes(
        (old_run / "model.safetensors").read_bytes()
    )
    refused(*train, says=("checkpoint.safetensors: not a checkpoint",))


def test_a_model_that_is_damaged_does_not_keep_its_run_from_going_on(
    done: Run, old_run: Path
) -> None:
    """It goes on from its checkpoint, and writes the model anew."""
    (old_run / "model.safetensors").write_bytes(b"{}")
    done("train", "--out", old_run, "--resume", "--epochs", 2, "--quiet")
    assert Network.load(old_run).sizes[-1] == 3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("epochs = ", "config.toml: not TOML"),
        ("epochs = 0", "config.toml: epochs must be an integer from 1"),
        ("hidden = 0", "config.toml: hidden must be widths"),
        ('speed = "high"', "config.toml: no setting is called 'speed'; did you mean"),
        ('dataset = "a\\u0000b"', "expected the path of a data set"),
        ("\x00\xff", "config.toml: "),
    ],
    ids=lambda value: value[:20],
)
def test_settings_that_were_edited(
    refused: Refused, old_run: Path, text: str, says: str
) -> None:
    (old_run / "config.toml").write_bytes(text.encode("latin-1"))
    refused("evaluate", old_run, says=(says,))


def test_no_name_in_a_file_reaches_the_terminal_as_it_is(
    refused: Refused, cwd: Path
) -> None:
    names = serialize({"\x1b[31mred": np.zeros(2)})
    (cwd / "x.safetensors").write_bytes(names)
    line = refused("import", "x.safetensors", "--out", "y.safetensors")
    assert "\\x1b[31mred is not a weight" in line


def test_a_file_written_again_is_no_forgery(done: Run, model: Path) -> None:
    """What is refused above is refused for what it says."""
    change_model(model, {})
    done("evaluate", model)
