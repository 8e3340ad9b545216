"""`nnx plot`: pictures of a run, and what is refused."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_files import CSV, tree
from PIL import Image

from nnx.training.folder import CONFIG_NAME, DRAWN, LOG_NAME, OF_CLASSES, REPORT_NAME

Run = Callable[..., Any]
OF_A_RUN = [*(f"{name}.png" for name in OF_CLASSES), REPORT_NAME]
TINY = "--dataset", "squares", "--epochs", "2", "--out", "new"


def test_pictures_of_a_run(run: Run, old_run: Path) -> None:
    ran = run("plot", old_run)
    assert (ran.returncode, ran.stderr) == (0, "")
    files = [old_run / name for name in OF_A_RUN]
    assert ran.stdout.splitlines() == [str(file) for file in files]
    for file in files[:-1]:
        with Image.open(file) as picture:
            assert len(set(picture.convert("L").tobytes())) > 5, file


def test_svg_elsewhere(run: Run, old_run: Path, cwd: Path) -> None:
    ran = run("plot", old_run, "--svg", "--out", "new/pictures")
    assert (ran.returncode, ran.stderr) == (0, "")
    drawn = {path.name for path in (cwd / "new/pictures").iterdir()}
    assert drawn == {*(f"{name}.svg" for name in OF_CLASSES), REPORT_NAME}
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


def test_no_run(run: Run, old_run: Path) -> None:
    _refused(run("plot", "nowhere"), "nowhere")
    _refused(run("plot", old_run, "nowhere"), "nowhere", "cannot be read")
    _refused(run("plot"), "RUN")
    two = "plot", old_run, old_run
    _refused(run(*two, "--dataset", "squares"), "--dataset", "for one RUN")
    _refused(run(*two, "--data-dir", "."), "--data-dir", "for one RUN")


def test_a_damaged_log(run: Run, old_run: Path) -> None:
    (old_run / LOG_NAME).write_text("epoch\n1\n")
    _refused(run("plot", old_run), LOG_NAME, "no log of a run")


def test_data_that_do_not_fit_the_network(
    run: Run, old_run: Path, old_table: Path
) -> None:
    shutil.copy(old_table / CONFIG_NAME, old_run)
    (old_run.parent / "table.csv").write_text(CSV)
    _refused(run("plot", old_run), "does not fit the network")


def test_a_folder_that_is_a_file(run: Run, old_run: Path, cwd: Path) -> None:
    (cwd / "taken").write_text("")
    _refused(run("plot", old_run, "--out", "taken"), "taken", "cannot hold pictures")
    (old_run / "curves.png").mkdir()
    _refused(run("plot", old_run), "curves.png", "cannot write")


def _drawn(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} & set(DRAWN)


def test_training_draws(run: Run, old_run: Path, cwd: Path) -> None:
    ran = run("train", *TINY, plots=True)
    assert ran.returncode == 0
    assert ran.stderr.splitlines()[-1] == (
        f"6 pictures; all on one page: new/{REPORT_NAME}"
    )
    assert _drawn(cwd / "new") == set(OF_A_RUN)
    again = run("train", *TINY, "--overwrite", "--no-plots", "--quiet", plots=True)
    assert (again.returncode, again.stderr) == (0, "")
    assert not _drawn(cwd / "new")


def test_training_is_not_lost_where_nothing_can_be_drawn(
    run: Run, old_run: Path, cwd: Path
) -> None:
    (cwd / "new/curves.png").mkdir(parents=True)
    ran = run("train", *TINY, "--json", "--quiet", plots=True)
    assert ran.returncode == 0
    assert ran.stderr.startswith(
        "nnx: the run is done, but not all of it could be drawn: new/curves.png: "
    )
    assert len(ran.stderr.splitlines()) == 1
    assert (cwd / "new/model.safetensors").is_file()


@pytest.mark.sweep
@pytest.mark.parametrize(
    "name", ["two-layer", "relu-10", "relu-25-25", "tanh-1000", "kaggle"]
)
def test_presets_leave_all_pictures(
    done: Run, old_run: Path, cwd: Path, name: str
) -> None:
    done("train", "--preset", name, *TINY, "--backend", "numpy", plots=True)
    assert _drawn(cwd / "new") == set(OF_A_RUN)


def test_a_run_that_goes_on_leaves_no_pictures_of_before(
    run: Run, old_run: Path
) -> None:
    run("plot", old_run, "--svg")
    assert len(_drawn(old_run)) == 7
    ran = run("train", "--resume", "--out", old_run, "--epochs", 2)
    assert ran.returncode == 0
    assert not _drawn(old_run)


def test_other_data_are_told(run: Run, old_run: Path, cwd: Path) -> None:
    shutil.copytree(cwd / "squares", cwd / "others")
    labels = cwd / "others/train-labels-idx1-ubyte"
    labels.write_bytes(labels.read_bytes()[:-1] + b"\0")
    ran = run("plot", old_run, "--dataset", "others")
    assert ran.returncode == 0
    assert ran.stderr == "nnx: others: not the data that this run was trained on\n"


def test_a_run_is_not_removed_where_it_cannot_be_replaced(
    run: Run, old_run: Path
) -> None:
    (old_run / "weights.svg").mkdir()
    before = tree(old_run)
    ran = run("train", "--dataset", "squares", "--out", old_run, "--overwrite")
    _refused(ran, "weights.svg", "is a folder")
    assert tree(old_run) == before


def test_a_notebook_s_backend_of_matplotlib(run: Run, old_run: Path, cwd: Path) -> None:
    """As Jupyter sets it for commands too, which may be of another environment."""
    inline = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    ran = run("train", *TINY, "--quiet", plots=True, env=inline, cwd=cwd)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (cwd / "new" / REPORT_NAME).exists()
    ran = run("plot", old_run, env=inline)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_matplotlib_that_cannot_draw(run: Run, old_run: Path, cwd: Path) -> None:
    (cwd / "matplotlib.py").write_text("raise ValueError('broken')")
    ran = run("train", *TINY, "--quiet", plots=True, cwd=cwd)
    assert ran.returncode == 0
    [line] = ran.stderr.splitlines()
    assert line.startswith("nnx: the run is done, but matplotlib cannot draw it: ")
