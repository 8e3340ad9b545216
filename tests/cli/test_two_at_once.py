"""Two processes and one folder: the second is refused, and changes nothing."""

import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_files import tree

import nnx
from nnx.errors import InputError

Run = Callable[..., Any]
LONG = "--epochs", 10**6, "--hidden", "5"
pytestmark = pytest.mark.skipif(
    not hasattr(signal, "SIGSTOP"), reason="this system cannot hold a process"
)


@pytest.fixture
def held(start: Callable[..., Any], old_run: Path) -> Any:
    """A process that trains in the folder "new", stopped where it was."""
    process = start("train", "--dataset", "squares", "--out", "new", *LONG)
    for line in process.stderr:
        if line.startswith("epoch 3/"):
            break
    process.send_signal(signal.SIGSTOP)
    return process


def test_36_a_second_process_is_refused(
    held: Any, refused: Callable[..., str], done: Run, cwd: Path
) -> None:
    says = (f"nnx: new: process {held.pid} on ", "is training here; wait for it to end")
    for words in [], ["--overwrite"], ["--resume"]:
        refused("train", "--dataset", "squares", "--out", "new", *words, says=says)
    before, data = tree(cwd), nnx.load(cwd / "squares")
    for how in {}, {"overwrite": True}, {"resume": True}:
        with pytest.raises(
            InputError, match=f"process {held.pid} on .* is training here"
        ):
            nnx.train(nnx.Network([16, 5, 3]), data, out=cwd / "new", **how)
    assert tree(cwd) == before
    # Others may read it.
    for words in ["evaluate", "new"], ["plot", "new", "--out", "drawn"]:
        done(*words)
    held.send_signal(signal.SIGCONT)
    assert re.match(r"epoch \d+/1000000 ", held.stderr.readline())


def test_36_the_lock_of_a_process_that_was_killed_is_none(
    held: Any, done: Run, cwd: Path
) -> None:
    held.kill()
    held.communicate(timeout=30)
    left = {path.name for path in (cwd / "new").iterdir()}
    assert ".nnx.lock" in left
    # As a kill in the middle of a save would.
    shutil.copy(cwd / "new/log.csv", cwd / "new/.checkpoint.safetensors.0123abcd.part")
    epochs = len((cwd / "new/log.csv").read_text().splitlines()) + 100
    done("train", "--out", "new", "--resume", "--epochs", epochs, "--quiet")
    names = {path.name for path in (cwd / "new").iterdir()}
    assert names == left - {".nnx.lock"} | {"model.safetensors"}
