"""`nnx plot`: pictures of a run, and what is refused."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from nnx.training.folder import CONFIG_NAME, LOG_NAME

Run = Callable[..., Any]
OF_A_RUN = ["curves", "confusion", "weights", "activations", "mistakes", "samples"]


def test_pictures_of_a_run(run: Run, old_run: Path) -> None:
    ran = run("plot", old_run)
    assert (ran.returncode, ran.stderr) == (0, "")
    files = [old_run / f"{name}.png" for name in OF_A_RUN]
    assert ran.stdout.splitlines() == [str(file) for file in files]
    for file in files:
        with Image.open(file) as picture:
            assert len(set(picture.convert("L").tobytes())) > 5, file


def test_svg_elsewhere(run: Run, old_run: Path, cwd: Path) -> None:
    ran = run("plot", old_run, "--svg", "--out", "new/pictures")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert sorted(path.stem for path in (cwd / "new/pictures").glob("*.svg")) == sorted(
        OF_A_RUN
    )
    assert not list(old_run.glob("*.svg"))


def test_runs_compared(run: Run, old_run: Path, cwd: Path) -> None:
    shutil.copytree(old_run, cwd / "other")
    ran = run("plot", old_run, "other")
    assert (ran.returncode, ran.stdout) == (0, "compared.png\n")
    assert (cwd / "compared.png").stat().st_size > 5000


def _refused(ran: Any, *words: str) -> None:
    assert ran.returncode == 2
    [line] = ran.stderr.splitlines()
    assert line.startswith("nnx: ")
    assert all(word in line for word in words), line


@pytest.mark.parametrize("name", [CONFIG_NAME, LOG_NAME])
def test_a_run_without_a_file(run: Run, old_run: Path, name: str) -> None:
    (old_run / name).unlink()
    _refused(run("plot", old_run), str(old_run))


def test_no_run(run: Run, old_run: Path, cwd: Path) -> None:
    _refused(run("plot", "nowhere"), "nowhere")
    _refused(run("plot", old_run, "nowhere"), "nowhere", "cannot be read")
    _refused(run("plot"), "RUN")


def test_a_damaged_log(run: Run, old_run: Path) -> None:
    (old_run / LOG_NAME).write_text("epoch\n1\n")
    _refused(run("plot", old_run), LOG_NAME, "no log of a run")


def test_a_folder_that_is_a_file(run: Run, old_run: Path, cwd: Path) -> None:
    (cwd / "taken").write_text("")
    _refused(run("plot", old_run, "--out", "taken"), "taken", "cannot hold pictures")
    (old_run / "curves.png").mkdir()
    _refused(run("plot", old_run), "curves.png", "cannot write")
