"""`nnx bench`, as a user runs it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def bench(tmp_path: Path) -> Run:
    """Run `nnx bench` where no data is at hand."""

    def bench(*args: object) -> "subprocess.CompletedProcess[str]":
        own = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "OPENBLAS_NUM_THREADS": "1"}
        kept = {k: v for k, v in os.environ.items() if not k.startswith("NNX_")}
        return subprocess.run(
            [sys.executable, "-m", "nnx", "bench", *map(str, args)],
            env=kept | own,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return bench


def test_table_json_and_picture(bench: Run, tmp_path: Path) -> None:
    small = "--workload", "tiny", "--backend", "numpy", "--rounds", 1, "--out", "new"
    ran = bench(*small, "--json")
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    assert found == json.loads((tmp_path / "new" / "bench.json").read_text())
    [row] = found["rows"]
    assert (row["workload"], row["implementation"]) == ("tiny", "nnx numpy")
    assert row["ms_per_epoch"] > 0
    assert row["accuracy"] is None
    assert row["max_relative_error"] < 1e-5
    assert found["floor"]["tiny"] > 0
    assert found["machine"]["cores"] >= 1
    assert "random bytes" in ran.stderr
    with Image.open(tmp_path / "new" / "bench.png") as image:
        assert image.width > 500

    again = bench(*small)
    assert again.returncode == 2
    assert "already holds bench.json, bench.png" in again.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--workload", "huge"], "no workload is called 'huge'; there are tiny"),
        (["--backend", "abacus"], "no backend is called 'abacus'"),
        (["--rounds", "0"], "--rounds takes an integer from 1, not 0"),
        (["--rounds", "many"], "'many' is not an integer"),
        (["--data-dir", "nowhere"], "nowhere"),
        (["--time-to", "98"], "a fraction between 0 and 1, not 98"),
        (["--time-to", "0.98"], "--time-to needs MNIST"),
        (["--time-to", "0.98", "--workload", "all"], "takes one --workload"),
    ],
)
def test_refused_in_one_line(
    bench: Run, tmp_path: Path, args: list[str], says: str
) -> None:
    ran = bench(*args)
    assert ran.returncode == 2
    assert ran.stdout == ""
    lines = [li for li in ran.stderr.splitlines() if li.startswith("nnx: ")]
    assert len(lines) == 1, ran.stderr
    assert says in lines[0]
    assert "Traceback" not in ran.stderr
    assert not list(tmp_path.iterdir())
