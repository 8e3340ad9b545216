"""`nnx train --distributed mpi` in processes that mpiexec starts."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from conftest import COMMAND, environment

from nnx.model_file import MODEL_NAME

MPIEXEC = shutil.which(
    "mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
)
missing = "mpi4py" if find_spec("mpi4py") is None else "mpiexec"
needs_mpi = pytest.mark.skipif(
    find_spec("mpi4py") is None or MPIEXEC is None,
    reason=f"needs {missing}: pip install 'nnx-mlp[mpi]'",
)
Start = Callable[..., subprocess.Popen[str]]
USUAL = "--backend", "numpy", "--hidden", "17,9", "--batch-size", "50"
RECIPES = {
    "sgd": (),
    "adam-dropout": ("--optimizer", "adam", "--dropout", "0.2"),
    "batch-norm": ("--batch-norm", "--augment", "shift=1,rotation=10"),
}


@pytest.fixture
def start(cwd: Path, tmp_path: Path) -> Iterator[Start]:
    """Start `nnx train` in so many processes, into a folder; mpiexec is returned."""
    started = []

    def start(processes: int, out: str, *words: Any) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [
                *(MPIEXEC, "-n", str(processes), *COMMAND, "train", "digits"),
                *("--distributed", "mpi", "--no-plots", "--out", out, *map(str, words)),
            ],
            cwd=cwd,
            env=environment(tmp_path / "cache"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def model(start: Start, cwd: Path) -> Callable[..., bytes]:
    """Return the bytes of a model that so many processes have trained."""

    def model(processes: int, *words: Any) -> bytes:
        ran = start(processes, f"of {processes}", *words)
        out, err = ran.communicate(timeout=100)
        assert ran.returncode == 0, err
        assert len(out.splitlines()) == 2
        return (cwd / f"of {processes}" / MODEL_NAME).read_bytes()

    return model


@needs_mpi
def test_two_processes_train_to_the_bits_of_one(
    model: Callable[..., bytes], cwd: Path
) -> None:
    words = *USUAL, "--epochs", 2, "--shards", 4
    assert model(2, *words) == model(1, *words)


@needs_mpi
@pytest.mark.sweep
@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_eight_processes_train_to_the_bits_of_one(
    recipe: str, backend: str, model: Callable[..., bytes]
) -> None:
    words = *USUAL, "--epochs", 2, "--shards", 8, "--backend", backend
    models = {model(n, *words, *RECIPES[recipe]) for n in (1, 2, 4, 8)}
    assert len(models) == 1


@needs_mpi
def test_ctrl_c_stops_all_and_one_process_goes_on(start: Start, cwd: Path) -> None:
    words = *USUAL, "--shards", 2
    stopped = start(2, "stopped", *words, "--epochs", 10**6)
    for line in stopped.stderr or ():
        if line.startswith("epoch 3/"):
            break
    os.killpg(stopped.pid, signal.SIGINT)
    _, err = stopped.communicate(timeout=30)
    assert stopped.returncode == 130
    assert err.count("nnx: stopped and saved; go on: ") == 1
    step = nnx_log(cwd / "stopped")
    assert step >= 2
    epochs = step + 2
    for out, how in ("stopped", ["--resume"]), ("once", []):
        ran = start(1, out, *words, "--epochs", epochs, *how)
        _, err = ran.communicate(timeout=100)
        assert ran.returncode == 0, err
    models = {(cwd / out / MODEL_NAME).read_bytes() for out in ("stopped", "once")}
    assert len(models) == 1


def nnx_log(folder: Path) -> int:
    """Return how many epochs a run's log has."""
    return len((folder / "log.csv").read_text().splitlines()) - 1
