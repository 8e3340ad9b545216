"""`nnx bench`, as a user runs it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from idx_files import IDX_NAMES, idx_bytes
from PIL import Image

from nnx.data.dataset import Dataset

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def bench(tmp_path: Path) -> Run:
    """Run `nnx bench` where no data is at hand."""

    def bench(*args: object, **env: str) -> "subprocess.CompletedProcess[str]":
        own = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "OPENBLAS_NUM_THREADS": "1"}
        kept = {k: v for k, v in os.environ.items() if not k.startswith("NNX_")}
        return subprocess.run(
            [sys.executable, "-m", "nnx", "bench", *map(str, args)],
            env=kept | own | env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return bench


def test_table_json_and_picture(bench: Run, tmp_path: Path) -> None:
    small = "--workload", "tiny", "--backend", "numpy", "--rounds", 1, "--out", "new"
    ran = bench(*small, "--batch-size", 100, "--json")
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    assert found == json.loads((tmp_path / "new" / "bench.json").read_text())
    rows = {row["implementation"]: row for row in found["rows"]}
    assert set(rows) == {"nnx numpy", "matrix products"}
    row = rows["nnx numpy"]
    assert row["workload"] == "tiny-100"
    assert row["ms_per_epoch"] > 0
    assert 0 < row["of_peak"] < 1
    assert row["accuracy"] is None
    assert row["max_relative_error"] < 1e-5
    assert found["floor"]["tiny-100"] > 0
    assert found["machine"]["cores"] >= 1
    assert "random bytes" in ran.stderr
    with Image.open(tmp_path / "new" / "bench.png") as image:
        assert image.width > 500

    again = bench(*small)
    assert again.returncode == 2
    assert "already holds bench.json, bench.png" in again.stderr.splitlines()[-1]


@pytest.fixture
def data_dir(images: Dataset, tmp_path: Path) -> Path:
    """A folder of the images in MNIST's files, much as they are fetched."""
    folder = tmp_path / "data"
    folder.mkdir()
    arrays = [
        part
        for pixels, labels in (images.train[:2], images.test[:2])
        for part in (pixels.reshape(-1, 28, 28), labels)
    ]
    for name, values in zip(IDX_NAMES, arrays, strict=True):
        (folder / name).write_bytes(idx_bytes(values))
    return folder


def written(ran: "subprocess.CompletedProcess[str]", out: Path) -> dict[str, Any]:
    """Return what the command that printed tables wrote into the folder."""
    assert ran.returncode == 0, ran.stderr
    path = out / "bench.json"
    assert ran.stdout.splitlines()[-1] == f"written: {path}"
    assert [file.name for file in out.iterdir()] == ["bench.json"]
    found: dict[str, Any] = json.loads(path.read_text())
    assert found["images"] == "mnist"
    assert found["machine"]["cores"] >= 1
    return found


def test_options(bench: Run, tmp_path: Path, data_dir: Path) -> None:
    out = tmp_path / "new"
    small = "--workload", "tiny", "--backend", "numpy", "--rounds", 1, "--out", out
    ran = bench("options", *small, "--data-dir", data_dir)
    found = written(ran, out)
    _, title, columns, *_ = ran.stdout.splitlines()
    assert title == "tiny: 784-10-10, relu, batch 64"
    assert columns.split()[:2] == ["option", "implementation"]
    assert {row["option"] for row in found["rows"]} >= {"plain", "adam", "dropout"}
    assert {row["implementation"] for row in found["rows"]} == {"nnx numpy"}


def test_time_to(bench: Run, tmp_path: Path, data_dir: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('none here')")
    out = tmp_path / "new"
    small = "--backend", "numpy", "--rounds", 1, "--out", out, "--data-dir", data_dir
    ran = bench(
        "time-to", 0.9, "--workload", "classic", *small, PYTHONPATH=str(tmp_path)
    )
    found = written(ran, out)
    assert "PyTorch left out: none here" in ran.stderr
    assert "\nseconds to 90.00 %: 784-128-10, tanh, batch 64, lear" in ran.stdout
    [row] = found["rows"]
    assert (row["workload"], row["implementation"]) == ("classic", "nnx numpy")
    assert row["seconds"] > 0
    assert row["accuracy"] >= found["target"] == 0.9


def test_a_card_that_is_not_there(bench: Run) -> None:
    fake = Path(__file__).parents[1] / "fake_cuda"
    paths = filter(None, [str(fake), os.environ.get("PYTHONPATH")])
    ran = bench("gpu", PYTHONPATH=os.pathsep.join(paths), FAKE_CUDA="no-driver")
    assert ran.returncode == 2
    [line] = ran.stderr.splitlines()
    assert line.startswith("nnx: backend 'cupy' finds no NVIDIA driver")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--workload", "huge"], "no workload is called 'huge'; there are tiny"),
        (["--backend", "abacus"], "no backend is called 'abacus'"),
        (["--device", "0"], "--device goes with one --backend, not all"),
        (["--rounds", "0"], "'0' is not an integer from 1"),
        (["--batch-size", "0"], "'0' is not an integer from 1"),
        (["--rounds", "many"], "'many' is not an integer"),
        (["--data-dir", "nowhere"], "nowhere"),
        (["--options", "--workload", "wide"], "--options is now 'nnx bench options'"),
        (["--time-to", "0.98"], "--time-to is now 'nnx bench time-to 0.98'"),
        (["--workload", "tiny", "options"], "--workload goes after options"),
        (
            ["options", "--workload", "gelu"],
            "are measured on plain SGD, not on the recipe gelu",
        ),
        (["options", "--workload", "huge"], "no workload is called 'huge'"),
        (["options", "--rivals"], "No such option: --rivals"),
        (["time-to"], "Missing argument 'ACCURACY'"),
        (["time-to", "98"], "a fraction between 0 and 1, not 98"),
        (["time-to", "0.98"], "time-to needs MNIST"),
        (["time-to", "0.98", "--workload", "all"], "takes one --workload"),
        (["whole"], "whole needs MNIST"),
    ],
)
def test_refused_in_one_line_and_before_all_else(
    bench: Run, tmp_path: Path, args: list[str], says: str
) -> None:
    ran = bench(*args)
    assert ran.returncode == 2
    assert ran.stdout == ""
    lines = [li for li in ran.stderr.splitlines() if "left out: " not in li]
    assert len(lines) == 1, ran.stderr
    assert lines[0].startswith("nnx: ")
    assert says in lines[0]
    assert not list(tmp_path.iterdir())
