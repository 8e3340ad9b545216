"""Signals: a stopped run that is resumed ends with the bits of an unstopped one."""

import csv
import json
import random
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stop_anywhere
from idx_files import IDX_NAMES, idx_bytes
from usable import usable

from nnx.training.folder import DRAWN

Run = Callable[..., Any]
EPOCHS = 20
STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.fixture
def train(cwd: Path, request: pytest.FixtureRequest) -> list[Any]:
    """The command for a run of some seconds, on 3,000 random images of 28 x 28."""
    hidden, batch = (16, 40) if request.config.getoption("emulated") else (256, 4)
    draw = np.random.default_rng(0).integers
    (cwd / "noise").mkdir()
    for name, count in zip(IDX_NAMES, (3000, 3000, 100, 100), strict=True):
        shape = (count, 28, 28) if "images" in name else (count,)
        values = draw(0, 256 if "images" in name else 10, shape)
        (cwd / "noise" / name).write_bytes(idx_bytes(values))
    sizes = "--hidden", hidden, "--batch-size", batch, "--learning-rate", 0.01
    return ["train", "--dataset", "noise", *sizes, "--epochs", EPOCHS]


def wait_for(process: Any, words: str) -> str:
    """Return the first line on the process's stderr with these words."""
    for line in process.stderr:
        if words in line:
            return str(line)
    raise AssertionError(f"{words!r} never came; status {process.wait()}")


def losses(run_folder: Path) -> list[list[str]]:
    """Return the log without the seconds, which differ from run to run."""
    with (run_folder / "log.csv").open() as file:
        return [row[:-1] for row in csv.reader(file)]


def evaluated(run: Run, model: Path) -> dict[str, Any]:
    """Return what the command says of a network, but for its path."""
    said: dict[str, Any] = json.loads(run("evaluate", model, "--json").stdout)
    return said | {"model": ""}


@pytest.mark.parametrize(
    "backend",
    [
        "numpy",
        pytest.param("numba", marks=pytest.mark.sweep),
        pytest.param("cupy", marks=[pytest.mark.gpu, pytest.mark.sweep]),
    ],
)
def test_stopped_thrice_and_killed_is_never_stopped(
    train: list[Any], start: Callable[..., Any], done: Run, cwd: Path, backend: str
) -> None:
    usable(backend)
    moments = random.Random(5)
    train += ["--backend", backend]
    whole = start(*train, "--out", "whole", "--quiet")
    resume: list[str] = []
    for number in signal.SIGINT, signal.SIGTERM, signal.SIGKILL, signal.SIGHUP:
        process = start(*train, "--out", "parts", *resume)
        resume = ["--resume"]
        speed = wait_for(process, "epoch ").split()[-2]
        time.sleep(moments.uniform(0, 3000 / float(speed.replace(",", ""))))
        assert process.poll() is None, "the run ended before the signal was sent"
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
        if number == signal.SIGKILL:
            assert process.returncode == -number
        else:
            assert process.returncode == STATUS[number], said
            advice = (
                "nnx: stopped and saved; to continue: nnx train --out parts --resume"
            )
            assert said.splitlines()[-1] == advice
        done("evaluate", "parts")
    assert 1 + 4 <= len(losses(cwd / "parts")) < 1 + EPOCHS
    done("train", "--out", "parts", "--resume")
    assert whole.wait(timeout=30) == 0
    one, other = (cwd / name / "model.safetensors" for name in ("whole", "parts"))
    assert one.read_bytes() == other.read_bytes()
    assert losses(cwd / "whole") == losses(cwd / "parts")


def test_a_run_killed_while_resumed_for_longer_goes_on_for_longer(
    start: Callable[..., Any], run: Run, old_run: Path
) -> None:
    before = evaluated(run, old_run)
    process = start("train", "--out", old_run, "--resume", "--epochs", 10**6)
    wait_for(process, "epoch 3/")
    process.kill()
    process.communicate(timeout=30)
    # What it has come to counts, and not what it was when it had ended once.
    assert evaluated(run, old_run) != before
    assert evaluated(run, old_run) == evaluated(run, old_run / "checkpoint.safetensors")
    again = start("train", "--out", old_run, "--resume", "--threads", 1, plots=True)
    wait_for(again, "/1000000")
    again.send_signal(signal.SIGTERM)
    _, said = again.communicate(timeout=30)
    assert said.endswith(f"nnx train --out '{old_run}' --resume --threads 1\n")
    assert again.returncode == STATUS[signal.SIGTERM]
    assert not {path.name for path in old_run.iterdir()} & {*DRAWN}  # it is not done


def test_a_second_signal_ends_at_once_and_files_are_whole(
    train: list[Any],
    start: Callable[..., Any],
    done: Run,
) -> None:
    # A step of the whole set takes long enough for two signals to come in it.
    slow = "--hidden", "1000,1000", "--batch-size", "full"
    process = start(*train, *slow, "--out", "slow")
    wait_for(process, "epoch 1/")
    process.send_signal(signal.SIGINT)
    wait_for(process, "finishing this step and saving")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == -signal.SIGINT
    done("evaluate", "slow")
    done("train", "--out", "slow", "--resume", "--epochs", 2)


def compiling(cache: Path) -> list[str]:
    """Return the processes that compile into this folder."""
    variable, found = f"NUMBA_CACHE_DIR={cache}".encode(), []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            if variable in (process / "environ").read_bytes().split(b"\0"):
                found.append(process.name)
    return found


@pytest.mark.sweep
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_while_kernels_are_compiled(
    train: list[Any], start: Callable[..., Any], cwd: Path, tmp_path: Path, number: int
) -> None:
    """It is answered at once, and what was compiled by then is kept."""
    pytest.importorskip("numba")
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "kernels")}
    process = start(*train, "--backend", "numba", "--out", "new", env=cache)
    wait_for(process, "compiling the kernels")
    while not list((tmp_path / "kernels").rglob("*.nbc")):
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(number)
    sent = time.monotonic()
    _, said = process.communicate(timeout=20)
    assert time.monotonic() - sent < 2
    assert process.returncode == STATUS[number]
    assert said.splitlines()[-1] == "nnx: stopped"
    assert "Traceback" not in said
    for _ in range(20):  # the helper ends with the process that it helps
        if not compiling(tmp_path / "kernels"):
            break
        time.sleep(0.1)
    assert not compiling(tmp_path / "kernels")
    left = {path.name for path in (cwd / "new").iterdir()}
    assert left - {".nnx.lock"} == {"config.toml"}


@pytest.mark.parametrize("number", STATUS)
def test_a_signal_before_training(
    start: Callable[..., Any], cwd: Path, number: int
) -> None:
    # A proxy that takes the call and never answers holds the program where it is.
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        where = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        process = start(
            *["train", "--dataset", "mnist", "--out", "new"],
            env={"HTTP_PROXY": where, "HTTPS_PROXY": where},
        )
        proxy.settimeout(20)
        connection, _ = proxy.accept()
        process.send_signal(number)
        _, said = process.communicate(timeout=20)
        connection.close()
    assert process.returncode == STATUS[number]
    downloading, stopped = said.splitlines()
    assert downloading.startswith("downloading http")
    assert stopped == "nnx: stopped"
    assert list(cwd.iterdir()) == []
    assert not [path for path in cwd.parent.rglob("*") if path.is_file()]


@pytest.mark.sweep
@pytest.mark.parametrize("words", ["train --no-plots --quiet", "data list"])
def test_a_signal_at_any_moment_leaves_no_traceback(words: str) -> None:
    """As `stop_anywhere`, that Python itself has begun aside; a coarser one."""
    total = stop_anywhere.duration(words.split(), times=1)
    for moment in stop_anywhere.moments(total, step=0.05):
        one = stop_anywhere.ended(words.split(), max(moment, 0.12))
        assert one.status in (0, 130, -signal.SIGINT), one
        own = "looked in "  # of `nnx data list`
        said = "".join(s for s in one.said.splitlines(True) if not s.startswith(own))
        saves = "\nnnx: finishing this step and saving\n" in said
        assert said in ("", "nnx: stopped\n") or saves, one


def test_two_signals_at_any_moment_leave_whole_files(
    start: Callable[..., Any], done: Run, old_run: Path
) -> None:
    """The second ends the process at once, wherever the first has brought it."""
    moments = random.Random(3)
    resume: list[str] = []
    for first in signal.SIGINT, signal.SIGHUP, signal.SIGTERM:
        words = ["--dataset", "squares", "--epochs", 10**6, "--out", "a", *resume]
        process = start("train", *words)
        wait_for(process, "epoch ")
        process.send_signal(first)
        time.sleep(moments.uniform(0, 0.02))
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
        assert process.returncode in (STATUS[first], 130, -signal.SIGINT), said
        assert "Traceback" not in said
        done("evaluate", "a")
        resume = ["--resume"]
