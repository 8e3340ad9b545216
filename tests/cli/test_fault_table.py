"""The cases of docs/faults.md that no other test module has, and the page itself."""

import ast
import csv
import json
import math
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_files import CSV, idx_folder, tree

Run = Callable[..., Any]
Refused = Callable[..., str]
TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "faults.md"
# A module of this name, put where Python looks first, stands for a library.
NO_NUMBA = 'raise ImportError("no such library")\n'
# Read as Python starts: each look at the clock is an hour before the last one.
BACKWARDS = """
import itertools, time
hours = itertools.count()
time.time = lambda: 1.7e9 - 3600.0 * next(hours)
"""


def finite_log(folder: Path) -> list[dict[str, str]]:
    """Return a run's log, whose numbers have to be finite."""
    with (folder / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    numbers = [float(value) for row in rows for value in row.values() if value]
    assert numbers
    assert all(map(math.isfinite, numbers))
    return rows


def looked_at_first(folder: Path, name: str, text: str) -> dict[str, str]:
    """Write a module, and return the variable with which Python finds it first."""
    (folder / name).write_text(text)
    paths = filter(None, [str(folder), os.environ.get("PYTHONPATH")])
    return {"PYTHONPATH": os.pathsep.join(paths)}


def test_11_fields_in_quotes(done: Run, cwd: Path) -> None:
    quoted = re.sub(r"[^,\n]+", r'"\g<0>"', CSV)
    (cwd / "quoted.csv").write_text(quoted)
    done("train", "--dataset", "quoted.csv", "--epochs", 1, "--out", "new")
    finite_log(cwd / "new")


def test_12_pixels_without_labels_are_for_predict(
    refused: Refused, done: Run, old_run: Path, cwd: Path
) -> None:
    pixels = "".join(",".join([str(i)] * 16) + "\n" for i in range(5))
    header = ",".join(f"pixel{i}" for i in range(16)) + "\n"
    for name, text in ("with", header + pixels), ("without", pixels):
        (cwd / f"{name}.csv").write_text(text)
        train = "train", "--dataset", f"{name}.csv", "--out", old_run, "--overwrite"
        refused(*train, says=("no label column: usable for predict only",))
        done("predict", old_run, f"{name}.csv", "--out", f"{name} labels.csv")
        assert (cwd / f"{name} labels.csv").read_text().count("\n") == 1 + 5


def test_17_a_batch_larger_than_the_set(
    done: Run, run: Run, old_run: Path, cwd: Path
) -> None:
    train = "train", "--dataset", "squares", "--epochs", 2
    ran = done(*train, "--batch-size", 1000, "--out", "new")
    assert "· each step takes all 30\n" in ran.stderr
    whole = run(*train, "--batch-size", "full", "--out", "whole")
    assert "takes all" not in whole.stderr
    one, other = (cwd / name / "model.safetensors" for name in ("new", "whole"))
    assert one.read_bytes() == other.read_bytes()


def test_17_a_last_batch_of_one_with_batch_normalization(
    done: Run, old_run: Path, cwd: Path
) -> None:
    batches = "--batch-norm", "--batch-size", 29
    done("train", "--dataset", "squares", *batches, "--epochs", 3, "--out", "new")
    assert len(finite_log(cwd / "new")) == 3


def test_18_a_column_that_is_always_the_same(done: Run, cwd: Path) -> None:
    rows = "".join(f"{i % 2},{i},7\n" for i in range(12))
    (cwd / "table.csv").write_text("target,a,b\n" + rows)
    train = "train", "--dataset", "table.csv", "--target", "target", "--epochs", 2
    done(*train, "--out", "new")
    finite_log(cwd / "new")
    done("predict", "new", "table.csv", "--out", "-")


def test_19_a_folder_that_nobody_may_write_to(run: Run, cwd: Path) -> None:
    """Its files, not compressed, are mapped and not copied."""
    idx_folder(cwd / "data")
    before = tree(cwd / "data")
    (cwd / "data").chmod(0o555)
    options = "--augment", "shift=1", "--input-noise", 0.1, "--epochs", 2
    ran = run("train", "--dataset", "data", *options, "--out", "new")
    (cwd / "data").chmod(0o755)
    assert ran.returncode == 0, ran.stderr
    assert tree(cwd / "data") == before


def test_47_without_numba(
    refused: Refused, done: Run, old_run: Path, cwd: Path, tmp_path: Path
) -> None:
    without = {"env": looked_at_first(tmp_path, "numba.py", NO_NUMBA), "cwd": cwd}
    train = "train", "--dataset", "squares", "--out", old_run, "--overwrite"
    says = "backend 'numba' needs Numba (no such library)", "or use --backend numpy"
    refused(*train, "--backend", "numba", says=says, **without)
    ran = done(*train, "--epochs", 2, "--json", **without)
    assert json.loads(ran.stdout)["backend"] == "numpy"


def test_pictures_without_a_screen(done: Run, old_run: Path, cwd: Path) -> None:
    pytest.importorskip("matplotlib")
    no_screen = {"MPLBACKEND": "TkAgg", "DISPLAY": "", "WAYLAND_DISPLAY": ""}
    train = "train", "--dataset", "squares", "--epochs", 1, "--out", "new"
    done(*train, env=no_screen, plots=True, cwd=cwd)
    assert (cwd / "new" / "curves.png").exists()


def test_a_clock_that_goes_backwards(
    done: Run, old_run: Path, cwd: Path, tmp_path: Path
) -> None:
    back = looked_at_first(tmp_path, "sitecustomize.py", BACKWARDS)
    train = "train", "--dataset", "squares", "--epochs", 3
    done(*train, "--out", "back", env=back, cwd=cwd)
    assert all(float(row["seconds"]) >= 0 for row in finite_log(cwd / "back"))
    done(*train, "--out", "usual")
    one, other = (cwd / name / "model.safetensors" for name in ("back", "usual"))
    assert one.read_bytes() == other.read_bytes()


def rows() -> Iterator[tuple[str, list[str]]]:
    """Yield each row of the page's tables: its first cell, and the others."""
    for line in PAGE.read_text("utf-8").splitlines():
        if line.startswith("| ") and not line.startswith("| #"):
            first, *others = re.split(r"(?<!\\) \| ", line.strip("| "))
            yield first, others


def test_every_case_has_a_row_and_every_row_a_test_or_a_reason() -> None:
    numbers = [int(first) for first, _ in rows() if first.isdecimal()]
    assert numbers == list(range(1, 49))
    for first, others in rows():
        assert "::test_" in others[-1] or others[-1].startswith("no test: "), first


def test_every_test_that_the_page_names_is_there() -> None:
    named = re.findall(r"`([\w/]+\.py)::(\w+)(?:\[([^`\]]+)\])?`", PAGE.read_text())
    assert len(named) > 80
    for file, test, case in named:
        text = (TESTS / file).read_text("utf-8")
        there = {
            node.name
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef)
        }
        assert test in there, f"{file}::{test}"
        assert not case or f'"{case}"' in text, f"{file}::{test}[{case}]"


def test_the_words_of_the_page_are_those_that_its_tests_ask_for() -> None:
    for first, (_, happens, tests) in rows():
        files = re.findall(r"`([\w/]+\.py)::", tests)
        texts = [_joined(TESTS / file) for file in dict.fromkeys(files)]
        for words in re.findall(r"“(.+?)”", happens):
            assert any(words in text for text in texts), f"{first}: {words}"


def _joined(file: Path) -> str:
    """Return all texts in a module, each on a line."""
    tree = ast.parse(file.read_text("utf-8"))
    return "\n".join(
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
