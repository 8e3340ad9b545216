"""`nnx bench whole`: programs of their own, alone and beside busy ones."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnx_benchmarks import data, whole


def _quietly(text: str) -> None:
    """Say nothing."""


def test_each_program_is_timed_alone_and_nnx_beside_a_busy_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    says = "import json, os; print(json.dumps({'test_accuracy': len(os.environ) > 0}))"
    words = [sys.executable, "-c", says]
    monkeypatch.setattr(whole, "_commands", lambda data: {"one": words})
    monkeypatch.setattr(whole, "_scripts", lambda data: {"two": words})
    monkeypatch.setattr(whole.time, "sleep", lambda seconds: None)
    [report] = whole.measure(1, data.random_bytes(20), 2, _quietly)
    (table,) = report.tables
    assert {(row["implementation"], row["beside"]) for row in table.rows} == {
        ("one", "0 busy"), ("two", "0 busy"), ("one", "1 busy"),
    }  # fmt: skip
    for row in table.rows:
        low, high = row["range"]
        assert 0 < low <= row["seconds"] <= high
        assert (row["over_quiet"] == 1.0) or row["beside"] == "1 busy"
    assert len(table.cells()) == 3


def test_a_first_use_has_no_kernels(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is told an empty folder for them, and the other is not."""
    says = "import json, os; print(json.dumps({'test_accuracy': bool(os.listdir("
    says += "os.environ.get('NUMBA_CACHE_DIR') or '/'))}))"
    words: Any = [sys.executable, "-c", says]
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    for compiles in True, False:
        ended = whole._run(words, compiles, 0, tmp_path, _quietly)
        assert ended.accuracy == (not compiles)


@pytest.mark.sweep
def test_the_programs_train(tmp_path: Path) -> None:
    noise = data.random_bytes(400)
    # A bright band for each class, which is learned in a few hundred steps.
    pixels, labels = noise.train.images // 4, noise.train.labels
    for band in range(10):
        pixels[labels == band, 70 * band : 70 * band + 70] = 255
    path = tmp_path / "mnist.npz"
    np.savez(path, x_train=pixels, y_train=labels, x_test=pixels, y_test=labels)
    programs = whole._commands(path) | whole._scripts(path)
    assert {"nnx numba", "nnx numpy", "scikit_learn"} < programs.keys()
    del programs[whole.FIRST_USE]
    for name, words in programs.items():
        ended = whole._run(words, False, 0, tmp_path, _quietly)
        assert ended.accuracy > 0.9, name
