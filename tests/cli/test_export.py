"""`nnx export` and `nnx import`: files for elsewhere, and what is refused."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import nnx

Run = Callable[..., Any]
Refused = Callable[..., str]
FILES = {
    "--html": "page.html",
    "--pytorch": "weights.safetensors",
    "--c": "model.h",
    "--card": "README.md",
}


def test_several_at_once_and_back(run: Run, old_run: Path, cwd: Path) -> None:
    options = [word for pair in FILES.items() for word in pair]
    ran = run("export", old_run, *options, "--int8")
    assert (ran.returncode, ran.stderr) == (0, "")
    lines = ran.stdout.splitlines()
    assert lines[:4] == list(FILES.values())
    assert lines[4].startswith("test accuracy ")
    assert " % in 8 bits on " in lines[4]
    assert lines[5:7] == ["", "import torch"]
    assert 'load_file("weights.safetensors")' in ran.stdout
    assert "static const int8_t nnx_weight_0" in (cwd / "model.h").read_text()
    assert f"// {lines[4]}" in (cwd / "model.h").read_text()
    ran = run("import", "weights.safetensors", "--out", "again.safetensors")
    assert ran.stdout == "again.safetensors: 16-5-3, 103 parameters\n"
    again = (cwd / "again.safetensors").read_bytes()
    assert again == (old_run / "model.safetensors").read_bytes()


def test_onnx(run: Run, old_run: Path, cwd: Path) -> None:
    pytest.importorskip("onnx", reason="needs the extra [onnx]")
    ran = run("export", old_run, "--onnx", "model.onnx")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "model.onnx\n", "")
    assert (cwd / "model.onnx").stat().st_size > 400


def test_without_the_package_onnx(
    refused: Refused, old_run: Path, tmp_path: Path
) -> None:
    (tmp_path / "onnx.py").write_text("raise ModuleNotFoundError('no', name='onnx')\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    refused(
        "export", old_run, "--c", "a.h", "--onnx", "a.onnx", first="pass",
        env={"PYTHONPATH": path}, says=("pip install 'nnx-mlp[onnx]'",),
    )  # fmt: skip


def test_names_are_checked_before_anything_is_written(
    refused: Refused, old_run: Path, cwd: Path
) -> None:
    refused("export", old_run, says=("nothing to write: give --html FILE or --on",))
    refused("export", old_run, "--int8", "--html", "a.html", says=("give --c FILE",))
    good = "--html", "a.html"
    for option, value in ("--dataset", "squares"), ("--target", "a"):
        untested = "export", old_run, *good, option, value
        refused(*untested, says=(f"{option} is for --card and --int8",))
    for option, name, ending in (
        ("--onnx", "a.h", ".onnx"),
        ("--pytorch", "a.pt", ".safetensors"),
        ("--c", "a.c", ".h"),
        ("--card", "README", ".md"),
    ):
        says = (f"{name}: ", f"must end in {ending}")
        refused("export", old_run, *good, option, name, says=says)
    (cwd / "README.md").write_text("# Mine\n")
    says = ("README.md: is not a model card of nnx",)
    refused("export", old_run, *good, "--card", "README.md", says=says)
    model = old_run / "model.safetensors"
    says = ("model.safetensors: is a model of nnx; choose another name",)
    refused("export", old_run, *good, "--pytorch", model, says=says)


def test_data_that_are_needed(refused: Refused, old_run: Path) -> None:
    (old_run / "config.toml").unlink()
    says = ("no config.toml to name the data; give --dataset",)
    refused("export", old_run, "--card", "a.md", says=says)
    says, int8 = ("digits does not fit the network",), ("--c", "a.h", "--int8")
    refused("export", old_run, *int8, "--dataset", "digits", says=says)


def test_weights_of_pytorch_s(run: Run, old_run: Path, cwd: Path) -> None:
    """As PyTorch saves them, without what nnx says of them."""
    run("export", old_run, "--pytorch", "own.safetensors")
    save_file(load_file(cwd / "own.safetensors"), cwd / "plain.safetensors")
    ran = run(
        "import", "plain.safetensors", "--activation", "relu", "--dataset", "squares",
        "--out", "model.safetensors",
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")
    of_import = run("evaluate", "model.safetensors", "--dataset", "squares").stdout
    assert of_import == run("evaluate", old_run).stdout


def test_an_import_is_as_it_is_told(run: Run, old_run: Path, cwd: Path) -> None:
    """And as Python does it."""
    chance = np.random.default_rng(0)
    sizes = {"out": (3, 7), "first": (7, 16)}
    drawn = {f"{name}.weight": chance.normal(size=s) for name, s in sizes.items()}
    save_file(drawn, cwd / "w.safetensors")
    rows = [",".join(["cab"[i % 3], *map(str, range(i, i + 16))]) for i in range(12)]
    names = ",".join(["kind", *(f"x{i}" for i in range(16))])
    (cwd / "t.csv").write_text("\n".join([names, *rows]))
    words = "--activation", "tanh", "--layers", "first,out", "--dataset"
    squares = nnx.load(cwd / "squares")
    cases: list[tuple[str, Any]] = [
        ("squares --normalize 0.5,0.25", {"data": squares, "normalize": (0.5, 0.25)}),
        ("squares --pixels raw", {"data": squares, "pixels": "raw"}),
        ("t.csv --target kind", {"data": nnx.load(cwd / "t.csv", target="kind")}),
    ]
    for i, (more, told) in enumerate(cases):
        out = "--out", f"{i}.safetensors"
        ran = run("import", "w.safetensors", *words, *more.split(), *out)
        assert (ran.returncode, ran.stderr) == (0, "")
        told |= {"layers": ("first", "out")}
        nnx.from_pytorch(drawn, "tanh", **told).save(cwd / "own.safetensors")
        made = (cwd / f"{i}.safetensors").read_bytes()
        assert made == (cwd / "own.safetensors").read_bytes()


def test_imports_that_are_refused(refused: Refused, old_run: Path, cwd: Path) -> None:
    weights = {"0.weight": np.ones((4, 9)), "1.weight": np.ones((2, 4))}
    save_file(weights, cwd / "w.safetensors")
    new = "--out", "new.safetensors"
    for words, says in (
        (["w.safetensors", *new], "does not say which activation"),
        (["w.safetensors", *new, "--normalize", "1"], "--normalize takes a mean"),
        (["w.safetensors", *new, "--data-dir", "."], "--data-dir needs --dataset"),
        (["w.safetensors", *new, "--target", "y"], "--target needs --dataset"),
        (["w.safetensors", "--out", "new"], "new: a model's name must end in .saf"),
        (["w.safetensors", "--out", "w.safetensors"], "already exists"),
        (["nothing.pt", *new], "nothing.pt: "),
        (["w.safetensors"], "--out"),
    ):
        refused("import", *words, says=(says,))
    (cwd / "w.safetensors").write_bytes((cwd / "w.safetensors").read_bytes()[:-9])
    refused("import", "w.safetensors", *new, says=("not a safetensors file",))
