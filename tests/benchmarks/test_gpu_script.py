"""`benchmarks/gpu.sh`, with a python3 that answers as it is told."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.sh"
PYTHON = """#!/bin/sh
echo "python3 $*"
case "$*" in
    *gradcheck*) exit 3 ;;
    *"bench gpu"*) exec sleep 60 ;;
    *"-m gpu"*) exit 1 ;;
esac
"""


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "python3").write_text(PYTHON)
    (folder / "python3").chmod(0o755)
    return os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}


def ran(variables: dict[str, str], *args: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["bash", SCRIPT, *map(str, args)],
        env=variables,
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_one_step_stops_no_other_and_time_stops_all(
    variables: dict[str, str], tmp_path: Path
) -> None:
    """The status is that of the first that failed, and the table comes last."""
    out = tmp_path / "results"
    steps = "time-to", "check", "tests", "ceilings", "bench-128"
    done = ran(variables, "-o", out, "-s", 6, *steps)
    assert done.returncode == 3, done.stderr
    lines = done.stdout.splitlines()
    *_, last = lines
    assert last == f"written: {out}"
    table = [line.split() for line in lines[-7:-1]]
    assert table[0] == ["step", "status", "seconds"]
    assert [row[:2] for row in table[1:]] == [
        ["time-to", "0"], ["check", "3"], ["tests", "1"],
        ["ceilings", "124"], ["bench-128", "124"],
    ]  # fmt: skip
    assert (out / "log.txt").read_text() == done.stdout
    assert "python3 -m nnx bench time-to 0.98 --backend cupy" in done.stdout


def test_a_step_that_there_is_not(variables: dict[str, str], tmp_path: Path) -> None:
    done = ran(variables, "-o", tmp_path / "results", "tests", "sleep")
    assert done.returncode == 2
    assert "no step is called sleep; there are machine tests check" in done.stderr
    assert not (tmp_path / "results").exists()


def test_a_machine_without_a_driver_is_told(
    variables: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "bin" / "nvidia-smi").symlink_to("/bin/false")
    assert ran(variables, "-o", tmp_path / "results", "machine").returncode == 1
