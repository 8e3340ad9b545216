"""Hostile arguments to every public function: nnx refuses them, in one line.

Each used to raise an error of Python's, NumPy's or matplotlib's own, or to be accepted.
"""

import ctypes
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import nnx
from nnx import memory
from nnx.data.dataset import Dataset
from nnx.errors import InputError, NnxError, in_few_words, one_line
from nnx.settings.table import TRAINING


class _NoWords:
    def __repr__(self) -> str:
        raise RuntimeError("no words")


TOO_MANY_DIGITS = 10**5000
# None of them is what any of the doors below takes.
NEVER = {
    "infinity": math.inf,
    "a complex number": 1j,
    "a large integer": 10**30,
    "too many digits": TOO_MANY_DIGITS,
    "a list of such": [TOO_MANY_DIGITS],
    "a long text": "y" * 5000,
    "a NUL": "a\0b",
    "a surrogate": "\ud800",
    "bytes": b"x",
    "a ragged list": [[1, 2], [3]],
    "a mapping": {1: TOO_MANY_DIGITS},
    "a set": {1, 2},
    "an object": object(),
    "no words": _NoWords(),
    "a type": int,
    "an array of no rows": np.full((), math.nan),
    "no numbers": np.full((3, 4), math.nan),
    "complex numbers": np.zeros((3, 25), complex),
    "dates": np.zeros((3, 25), "datetime64[s]"),
    "records": np.zeros(3, [("a", "i4")]),
    "a module": math,
}
X = np.arange(750, dtype=np.uint8).reshape(30, 25)
Y = np.arange(30) % 3
WEIGHTS = {
    "0.weight": np.ones((4, 25), np.float32),
    "1.weight": np.ones((3, 4), np.float32),
}
MADE = {"epochs": 1, "backend": "numpy"}

Door = Callable[[nnx.Network, Dataset, Any], object]
DOORS: dict[str, Door] = {
    "Network": lambda n, d, v: nnx.Network(v),
    "Network init": lambda n, d, v: nnx.Network([4, 3, 2], init=v),
    "Network seed": lambda n, d, v: nnx.Network([4, 3, 2], seed=v),
    "Network dtype": lambda n, d, v: nnx.Network([4, 3, 2], dtype=v),
    "Network.load": lambda n, d, v: nnx.Network.load(v),
    "save": lambda n, d, v: n.save(v),
    "predict": lambda n, d, v: n.predict(v),
    "predict with": lambda n, d, v: n.predict(X, backend=v),
    "features": lambda n, d, v: n.features(v),
    "train a network": lambda n, d, v: nnx.train(v, d, **MADE),
    "train on": lambda n, d, v: nnx.train(n, v, **MADE),
    "train on x": lambda n, d, v: nnx.train(n, (v, Y), **MADE),
    "train on y": lambda n, d, v: nnx.train(n, (X, v), **MADE),
    "validation": lambda n, d, v: nnx.train(n, d, validation=v, **MADE),
    "validation y": lambda n, d, v: nnx.train(n, d, validation=(X, v), **MADE),
    "train by": lambda n, d, v: nnx.train(n, d, backend=v),
    "resume": lambda n, d, v: nnx.train(n, d, resume=v, out="a", **MADE),
    "overwrite": lambda n, d, v: nnx.train(n, d, overwrite=v, out="a", **MADE),
    "tensorboard": lambda n, d, v: nnx.train(n, d, tensorboard=v, **MADE),
    "progress": lambda n, d, v: nnx.train(n, d, progress=v, **MADE),
    "evaluate": lambda n, d, v: nnx.evaluate(v, d),
    "evaluate on": lambda n, d, v: nnx.evaluate(n, v),
    "evaluate by": lambda n, d, v: nnx.evaluate(n, d, backend=v),
    "load": lambda n, d, v: nnx.load(v),
    "load from": lambda n, d, v: nnx.load("mnist", v),
    "load target": lambda n, d, v: nnx.load("t.csv", target=v),
    "load task": lambda n, d, v: nnx.load("t.csv", target="t", task=v),
    "load test_data": lambda n, d, v: nnx.load("t.csv", target="t", test_data=v),
    "dataset x": lambda n, d, v: nnx.dataset(v, Y),
    "dataset y": lambda n, d, v: nnx.dataset(X, v),
    "dataset x_test": lambda n, d, v: nnx.dataset(X, Y, v, Y),
    "dataset validation": lambda n, d, v: nnx.dataset(X, Y, validation=v),
    "dataset scale": lambda n, d, v: nnx.dataset(X, Y, scale=v),
    "dataset task": lambda n, d, v: nnx.dataset(X, Y, task=v),
    "dataset's rows": lambda n, d, v: nnx.dataset(v, Y, scale="standard"),
    "find": lambda n, d, v: nnx.find(v),
    "find device": lambda n, d, v: nnx.find("numpy", device=v),
    "find threads": lambda n, d, v: nnx.find("numba", threads=v),
    "gradcheck": lambda n, d, v: nnx.gradcheck(v),
    "gradcheck on": lambda n, d, v: nnx.gradcheck(n, v),
    "gradcheck l2": lambda n, d, v: nnx.gradcheck(n, d, l2=v),
    "parity": lambda n, d, v: nnx.parity(v),
    "read_picture": lambda n, d, v: nnx.read_picture(v, n.frame),
    "read_picture as": lambda n, d, v: nnx.read_picture(Path("a.png"), v),
    "from_pytorch": lambda n, d, v: nnx.from_pytorch(v),
    "from_pytorch's weight": lambda n, d, v: nnx.from_pytorch({"0.weight": v}),
    "from_pytorch's activation": lambda n, d, v: nnx.from_pytorch(WEIGHTS, v),
    "from_pytorch's data": lambda n, d, v: nnx.from_pytorch(WEIGHTS, "relu", data=v),
    "from_pytorch's layers": lambda n, d, v: nnx.from_pytorch(
        WEIGHTS, "relu", layers=v
    ),
    "from_pytorch's pixels": lambda n, d, v: nnx.from_pytorch(
        WEIGHTS, "relu", pixels=v
    ),
    "from_sklearn": lambda n, d, v: nnx.from_sklearn(v),
    "onnx": lambda n, d, v: nnx.export.onnx(v, "a.onnx"),
    "onnx to": lambda n, d, v: nnx.export.onnx(n, v),
    "pytorch": lambda n, d, v: nnx.export.pytorch(v, "a.safetensors"),
    "pytorch to": lambda n, d, v: nnx.export.pytorch(n, v),
    "c": lambda n, d, v: nnx.export.c(v, "a.h"),
    "c to": lambda n, d, v: nnx.export.c(n, v),
    "c int8": lambda n, d, v: nnx.export.c(n, "a.h", int8=v, data=d),
    "c data": lambda n, d, v: nnx.export.c(n, "a.h", int8=True, data=v),
    "card": lambda n, d, v: nnx.export.card(v, "a.md", d),
    "card to": lambda n, d, v: nnx.export.card(n, v, d),
    "card of": lambda n, d, v: nnx.export.card(n, "a.md", v),
    "card settings": lambda n, d, v: nnx.export.card(n, "a.md", d, v),
    **{
        f"train {name}": lambda n, d, v, name=name: nnx.train(n, d, **{name: v})
        for name in TRAINING
        if name not in ("seed", "class_weights")
    },
    **{
        f"data set's {name}": lambda n, d, v, name=name: nnx.train(
            n, d._replace(**{name: v}), **MADE
        )
        for name in Dataset._fields
        if name not in ("name", "source", "data_dir")
    },
}
PICTURES: dict[str, Door] = {
    "curves": lambda n, d, v: nnx.plots.curves(v),
    "compared": lambda n, d, v: nnx.plots.compared(v),
    "compared log": lambda n, d, v: nnx.plots.compared({"a": v}),
    "confusion": lambda n, d, v: nnx.plots.confusion(v, Y, d.classes),
    "confusion predicted": lambda n, d, v: nnx.plots.confusion(Y, v, d.classes),
    "confusion classes": lambda n, d, v: nnx.plots.confusion(Y, Y, v),
    "labels": lambda n, d, v: nnx.plots.labels(v, ["a", "b"]),
    "labels names": lambda n, d, v: nnx.plots.labels(np.ones((3, 2), int), v),
    "predictions": lambda n, d, v: nnx.plots.predictions(v, Y),
    "predictions names": lambda n, d, v: nnx.plots.predictions(Y, Y, v),
    "residuals": lambda n, d, v: nnx.plots.residuals(Y, v),
    "weights": lambda n, d, v: nnx.plots.weights(v),
    "activations": lambda n, d, v: nnx.plots.activations(v, X),
    "activations of": lambda n, d, v: nnx.plots.activations(n, v),
    "mistakes": lambda n, d, v: nnx.plots.mistakes(v, d.test, X),
    "mistakes of": lambda n, d, v: nnx.plots.mistakes(n, v, X),
    "mistakes by": lambda n, d, v: nnx.plots.mistakes(n, d.test, v),
    "samples of": lambda n, d, v: nnx.plots.samples(n, v, X),
    "samples by": lambda n, d, v: nnx.plots.samples(n, d.test, v),
}


@pytest.fixture
def network() -> nnx.Network:
    """As the fixture `data` wants it."""
    return nnx.Network([25, 6, 3])


@pytest.mark.parametrize("door", [*DOORS, *PICTURES])
def test_what_no_door_takes(
    door: str,
    network: nnx.Network,
    data: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if door in PICTURES:
        pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("t,a\n0,1\n1,2\n")
    for name, value in NEVER.items():
        print(door, name)  # what a failure is about
        with pytest.raises(NnxError) as refused:
            (DOORS | PICTURES)[door](network, data, value)
        said = str(refused.value)
        assert said.isprintable(), (door, name, said)
        # All settings are listed where none is near; what was given is cut short.
        assert len(said) <= 400 or "no setting is called" in said, (door, name, said)
        assert [path.name for path in tmp_path.iterdir()] == ["t.csv"], (door, name)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("activation", ["relu", "softplus"])
def test_numbers_that_must_not_underflow(backend: str, activation: str) -> None:
    """After numpy.seterr; small gradients and probabilities become 0 as ever."""
    digits, begun = nnx.load("digits"), nnx.Network((64, 16, 10), activation, seed=0)
    recipe = {"optimizer": "adam", "learning_rate": 0.05, "ema_decay": 0.9}
    with np.errstate(all="raise"):
        network = nnx.train(begun, digits, backend=backend, epochs=30, **recipe).network
        nnx.evaluate(network, digits)
        probabilities = network.predict_proba(digits.test.images)
    assert probabilities.min() < 1e-30


def test_functions_that_are_none(network: nnx.Network, data: Dataset) -> None:
    """They were called after an epoch, and the error was Python's."""
    for name in "on_progress", "should_stop":
        for value in None, 3, "print":
            with pytest.raises(InputError, match=f"^{name} must be a function, not"):
                nnx.train(network, data, **{name: value})


def test_a_truth_that_is_a_text(network: nnx.Network, data: Dataset) -> None:
    """`resume="no"` would be a truth."""
    for name in "resume", "overwrite", "tensorboard", "progress":
        with pytest.raises(InputError, match=f"^{name} must be True or False, not 'no"):
            nnx.train(network, data, **{name: "no"})


def test_a_column_to_drop_that_is_not_there() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1.0, 2.0] * 9, "t": [0, 1] * 9})
    with pytest.raises(InputError, match="^x: no column is called 'b'; there are 'a'"):
        nnx.dataset(frame, "t", drop="b")


def test_an_attribute_that_a_network_has_not(network: nnx.Network) -> None:
    with pytest.raises(InputError, match="^a network has no activations; it has layer"):
        network.replace(activations="relu")


@pytest.mark.parametrize(
    ("sizes", "gib"),
    [([10**9, 10], "335.3"), ([10, 10**9], "335.3"), ([10**5] * 3, "372.5")],
)
def test_a_network_that_no_memory_holds(
    sizes: list[int], gib: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused before any is asked for."""
    monkeypatch.setattr(memory, "available", lambda: 8 * 2.0**30)
    monkeypatch.setattr(np, "zeros", None)
    says = f"takes {gib} GiB to make, and there is at most 8.0 GiB of memory; choose"
    with pytest.raises(nnx.NnxError, match=re.escape(says)) as refused:
        nnx.Network(sizes)
    assert refused.value.exit_status == 4


def test_hidden_layers_that_are_too_wide_are_a_setting_s_fault() -> None:
    with pytest.raises(InputError, match=r"each from 1 to 100000, .* not \[1000000\]"):
        nnx.Network([784, 10**6, 10])


def test_the_memory_of_a_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit, most in ("1048576\n", 2**20), ("max\n", math.inf):
        (tmp_path / "memory.max").write_text(limit)
        monkeypatch.setattr(memory, "CGROUP", tmp_path / "memory.max")
        assert memory.available() <= most


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ("0::/a/b", "a/b/memory.max"),
        ("0::/a/b", "a/memory.max"),
        ("4:memory:/a/b", "memory/a/memory.limit_in_bytes"),
    ],
)
def test_the_memory_of_a_control_group(
    line: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own").write_text(f"8:pids:/x\n{line}\n")
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text("1048576\n")
    monkeypatch.setattr(memory, "CGROUP", tmp_path / "memory.max")
    monkeypatch.setattr(memory, "OWN_GROUPS", tmp_path / "own")
    assert memory.available() == 2**20


@pytest.mark.parametrize("total", [2**20, 0])
def test_the_memory_of_windows(total: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def status(numbers: Any) -> None:
        assert list(numbers) == [ctypes.sizeof(numbers), 0, 0, 0, 0, 0, 0, 0]
        numbers[1] = total

    kernel = SimpleNamespace(GlobalMemoryStatusEx=status)
    windows = SimpleNamespace(kernel32=kernel)
    monkeypatch.setattr(ctypes, "windll", windows, raising=False)
    monkeypatch.delattr(os, "sysconf")
    monkeypatch.setattr(memory, "_limits", lambda: ())
    assert (memory.available() == total) == (total > 0)


def test_what_was_given_is_said_in_a_line() -> None:
    assert (
        one_line("a\nb\0\x1b[31m\ud800 ü 数 b") == "a\\nb\\x00\\x1b[31m\\ud800 ü 数 b"
    )
    assert one_line("x " + "y" * 500) == "x " + "y" * 100 + "…" + "y" * 100
    assert in_few_words([1] * 1000) == "[1" + ", 1" * 25 + ", …"
    assert in_few_words(TOO_MANY_DIGITS) == "one int of too many digits"
    assert in_few_words(_NoWords()) == "one _NoWords"
