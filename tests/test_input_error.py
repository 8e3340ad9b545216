"""The errors of what nnx refuses are ValueErrors too, and keep their own messages."""

import ast
import builtins
import re
from pathlib import Path

import numpy as np
import pytest

import nnx
from nnx import files, model_file
from nnx.data.dataset import Dataset
from nnx.errors import InputError
from nnx.training import log

SOURCES = sorted((Path(__file__).parents[1] / "nnx").rglob("*.py"))


def test_it_is_a_value_error(data: Dataset) -> None:
    with pytest.raises(ValueError, match="no setting is called 'lr'") as refused:
        nnx.train(nnx.Network([25, 3]), data, lr=0.1)
    assert isinstance(refused.value, InputError)
    assert isinstance(refused.value, nnx.NnxError)


def _names(caught: ast.expr | None) -> set[str]:
    return {node.id for node in ast.walk(caught or ast.Tuple()) if hasattr(node, "id")}


def _may_refuse(body: list[ast.stmt]) -> bool:
    """Whether it calls anything but what Python has for numbers and texts."""
    called = [
        node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        for node in ast.walk(ast.Module(body, []))
        if isinstance(node, ast.Call) and hasattr(node.func, "ctx")
    ]
    return not all(hasattr(builtins, name) or hasattr(str, name) for name in called)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_where_a_value_error_is_put_in_other_words_this_one_goes_first(
    source: Path,
) -> None:
    for block in ast.walk(ast.parse(source.read_text("utf-8"))):
        if not isinstance(block, ast.Try) or not _may_refuse(block.body):
            continue
        caught = [_names(handler.type) for handler in block.handlers]
        for i, handler in enumerate(block.handlers):
            says = re.search(r"raise InputError", ast.unparse(handler))
            if "ValueError" in caught[i] and says:
                before = [names for names in caught[:i] if "InputError" in names]
                assert before, f"{source}, line {handler.lineno}"


def _newer_model(folder: Path) -> Path:
    path = folder / "model.safetensors"
    network = vars(nnx.Network([3, 2]))
    model_file.save(path, network, extra={"format": model_file.FORMAT + 1})
    return path


def _npz_without_labels(folder: Path) -> Path:
    np.savez(folder / "set.npz", x_train=np.zeros((3, 4)))
    return folder / "set.npz"


def _ragged_table(folder: Path) -> Path:
    (folder / "table.csv").write_text("label,a\n0,1\n1,2,3\n")
    return folder / "table.csv"


DOORS = [
    (_newer_model, nnx.Network.load, "written by a newer nnx"),
    (_npz_without_labels, nnx.load, "missing y_train, x_test, y_test; there is"),
    (_ragged_table, nnx.load, ", line 3: 3 columns, but the first line has 2"),
    (lambda folder: folder / "none.toml", files.read_toml, "cannot be read: No such"),
    (
        lambda folder: folder / "log.csv",
        lambda path: log.from_csv(b"x", str(path)),
        "no log of a run: expected a header",
    ),
]


@pytest.mark.parametrize(("made", "opened", "says"), DOORS)
def test_a_door_s_own_words(made, opened, says, tmp_path: Path) -> None:
    """The message is the door's alone: not wrapped in another one."""
    path = made(tmp_path)
    with pytest.raises(InputError) as refused:
        opened(path)
    said = str(refused.value)
    assert re.match(rf"{re.escape(str(path))}(: )?{says}", said)
    assert said.count(str(path)) == 1
    assert "InputError" not in said


def test_a_checkpoint_of_another_run(data: Dataset, tmp_path: Path) -> None:
    network = nnx.Network([25, 3])
    nnx.train(network, data, out=tmp_path, epochs=1, backend="numpy")
    with pytest.raises(InputError, match=r"checkpoint.safetensors: is of another run"):
        nnx.train(network, data, out=tmp_path, resume=True, batch_size=8)
