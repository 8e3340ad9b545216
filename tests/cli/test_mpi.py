"""`nnx train --distributed mpi` in processes that mpiexec starts."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed.mpi import MPIEXEC, needs_mpi

from nnx.model_file import CHECKPOINT_NAME, MODEL_NAME, load

Start = Callable[..., subprocess.Popen[str]]
# Of so many weights that processes exchange shares of their sums, and not all of them.
USUAL = "--backend", "numpy", "--hidden", "40,9", "--batch-size", "50"
MUCH = "--batch-norm", "--augment", "shift=1,rotation=10", "--optimizer", "adam"


@pytest.fixture
def start(cwd: Path, variables: dict[str, str]) -> Iterator[Start]:
    """Start `nnx train` in so many processes, into a folder; mpiexec is returned.

    Without a folder's name, one is made in `runs`.
    """
    started = []

    def start(processes: int, out: str | None, *words: Any) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [
                *(MPIEXEC, "-n", str(processes), sys.executable, "-m", "nnx", "train"),
                *("digits", "--distributed", "mpi", "--no-plots"),
                *(() if out is None else ("--out", out)),
                *map(str, words),
            ],
            cwd=cwd,
            env=variables,
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
def test_two_processes_train_to_the_bits_of_one(model: Callable[..., bytes]) -> None:
    words = *USUAL, "--epochs", 2, "--shards", 4
    assert model(2, *words) == model(1, *words)


@needs_mpi
def test_a_folder_that_is_not_named_is_made_once(start: Start, cwd: Path) -> None:
    ran = start(2, None, *USUAL, "--epochs", 1)
    _, err = ran.communicate(timeout=60)
    assert ran.returncode == 0, err
    (folder,) = (cwd / "runs").iterdir()
    assert (folder / MODEL_NAME).is_file()


@needs_mpi
@pytest.mark.sweep
def test_batch_norm_and_windows_in_four_processes_too(
    model: Callable[..., bytes],
) -> None:
    words = *USUAL, "--epochs", 1, "--shards", 4, "--window", 600, *MUCH
    assert model(4, *words) == model(1, *words)


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
    assert err.count("nnx: stopped and saved; to continue: ") == 1
    epochs = len((cwd / "stopped/log.csv").read_text().splitlines())
    assert epochs > 2
    for out, how in ("stopped", ["--resume"]), ("once", []):
        ran = start(1, out, *words, "--epochs", epochs, *how)
        _, err = ran.communicate(timeout=100)
        assert ran.returncode == 0, err
    models = {(cwd / out / MODEL_NAME).read_bytes() for out in ("stopped", "once")}
    assert len(models) == 1


@needs_mpi
def test_only_the_first_process_needs_the_folder_of_the_run(
    start: Start, cwd: Path, variables: dict[str, str]
) -> None:
    """The others may be on machines that do not have it."""
    ran = start(2, "new", *USUAL, "--epochs", 1)
    _, err = ran.communicate(timeout=60)
    assert ran.returncode == 0, err
    (cwd / "elsewhere").mkdir()
    command = *(sys.executable, "-m", "nnx", "train", "--out", "new", "--resume"), *(
        "--epochs", "2", "--no-plots", "--distributed", "mpi"
    )  # fmt: skip
    both = "-n", "1", *command, ":", "-n", "1", "-wdir", "elsewhere", *command
    resumed = subprocess.run(
        [MPIEXEC, *both], cwd=cwd, env=variables, capture_output=True, timeout=60
    )
    assert resumed.returncode == 0, resumed.stderr
    assert not [*(cwd / "elsewhere").iterdir()]


@needs_mpi
def test_an_error_of_all_is_told_once(start: Start, cwd: Path) -> None:
    ran = start(2, "new", "--learning-rate", -1)
    out, err = ran.communicate(timeout=60)
    assert (ran.returncode, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert err.startswith("nnx: learning_rate must be")
    assert not (cwd / "new").exists()


@needs_mpi
def test_an_error_of_one_ends_all(start: Start, disk: Path) -> None:
    """Only the first process writes, and here the disk is too small for its files."""
    ran = start(2, str(disk / "new"), *USUAL, "--hidden", 600)
    out, err = ran.communicate(timeout=60)
    assert (ran.returncode, out) == (1, "")
    (line,) = (line for line in err.splitlines() if "nnx: " in line)
    assert line.startswith(f"nnx: process 0: {disk}/new/checkpoint.safetensors: cannot")
    assert "No space left on device" in line


@needs_mpi
def test_a_process_that_is_killed_ends_all_and_loses_nothing(
    start: Start, cwd: Path
) -> None:
    words = *USUAL, "--epochs", 10**6, "--checkpoint-seconds", 0.1
    running = start(2, "new", *words)
    for line in running.stderr or ():
        if line.startswith("epoch 3/"):
            break
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
    (proxy,) = children.read_text().split()
    ranks = Path(f"/proc/{proxy}/task/{proxy}/children").read_text().split()
    os.kill(int(ranks[1]), signal.SIGKILL)
    running.communicate(timeout=10)
    assert running.returncode == signal.SIGKILL
    assert load(cwd / "new" / CHECKPOINT_NAME).extra["step"] > 0


@needs_mpi
def test_the_example_of_the_documentation(cwd: Path, variables: dict[str, str]) -> None:
    page = Path(__file__).parents[2] / "docs/distributed.md"
    _, code, _ = re.split(r"```(?:python)?\n", page.read_text("utf-8"))
    (cwd / "train.py").write_text(code)
    words = MPIEXEC, "-n", "2", sys.executable, "-m", "mpi4py", "train.py"
    ran = subprocess.run(
        words, cwd=cwd, env=variables, capture_output=True, text=True, timeout=60
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (cwd / "runs/mine" / MODEL_NAME).is_file()


def test_without_mpi_one_line_says_what_to_install(run: Any) -> None:
    hidden = "import sys; sys.modules['mpi4py'] = None"
    code = f"{hidden}; from nnx.__main__ import main; main()"
    ran = subprocess.run(
        [sys.executable, "-c", code, "train", "--distributed", "mpi"],
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    (line,) = ran.stderr.splitlines()
    assert "pip install 'nnx-mlp[mpi]'" in line
    refused = run("train", "--distributed", "smoke-signals")
    assert refused.returncode == 2
    assert "there is mpi" in refused.stderr
