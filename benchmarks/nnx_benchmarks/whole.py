"""Whole commands, from start to end: `nnx train --preset quick` beside scripts.

A user also waits for imports, data, compiling and testing.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from itertools import repeat, starmap
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from nnx.data.dataset import Dataset
from nnx_benchmarks import scripts
from nnx_benchmarks.measure import Note, about, in_turn
from nnx_benchmarks.report import Report, Table, fastest_first, times

COLUMNS = [
    ("program", "implementation", "{}"),
    ("beside", "beside", "{}"),
    ("seconds", "seconds", "{:.2f}"),
    ("range", "range", "{0[0]:.2f}–{0[1]:.2f}"),
    ("× quiet", "over_quiet", "{:.2f}"),
    ("accuracy", "accuracy", "{:.2%}"),
]
LEGEND = (
    "seconds: from the start of the process to its end; beside: programs that keep a "
    "core each; first use: kernels are compiled"
)
# The module that each script needs, by the script's name.
SCRIPTS = {"pytorch": "torch", "scikit_learn": "sklearn"}
FIRST_USE = "nnx numba, first use"


class Ended(NamedTuple):
    """The result of a process that succeeded."""

    seconds: float
    accuracy: float


def measure(
    most_beside: int, images: Dataset, rounds: int, note: Note
) -> Iterator[Report]:
    """Yield a report of each program's seconds, and nnx's beside 1 to `most_beside`.

    PyTorch's threads wait for each other, and beside a busy program also for a core:
    the script had not ended after 14 minutes.
    """
    with TemporaryDirectory() as folder:
        data = Path(folder, "mnist.npz")
        (x, y), (test_x, test_y) = images.train, images.test
        np.savez(data, x_train=x, y_train=y, x_test=test_x, y_test=test_y)
        spent = {
            beside: _measured(programs, beside, Path(folder), rounds, note)
            for beside, programs in enumerate(
                [_commands(data) | _scripts(data), *[_commands(data)] * most_beside]
            )
        }
    rows = []
    for beside, programs in spent.items():
        for name, ended in programs.items():
            timed = times([run.seconds for run in ended], "seconds", "range")
            quiet = median(run.seconds for run in spent[0][name])
            rows.append(
                {"implementation": name, "beside": f"{beside} busy"}
                | timed
                | {
                    "over_quiet": timed["seconds"] / quiet,
                    "accuracy": min(run.accuracy for run in ended),
                    "no_speed_because": "",
                }
            )
    title = "whole processes: preset quick, 784-128-10, 10 epochs"
    table = Table(title, COLUMNS, fastest_first(rows, "seconds"))
    yield Report([table], {}, LEGEND)


def _commands(data: Path) -> dict[str, list[str]]:
    """Return the command line of each way to use nnx."""
    train = [sys.executable, "-m", "nnx", "train", "--preset", "quick", "--quiet"]
    # No other program draws pictures of what it trained.
    train.append("--no-plots")
    train += ["--json", "--dataset", str(data), "--backend"]
    commands = {f"nnx {name}": [*train, name] for name in ("numba", "numpy")}
    return commands | {FIRST_USE: commands["nnx numba"]}


def _scripts(data: Path) -> dict[str, list[str]]:
    """Return the command line of each installed library's script."""
    return {
        script: [sys.executable, "-m", f"{scripts.__name__}.{script}", str(data)]
        for script, module in SCRIPTS.items()
        if find_spec(module) is not None
    }


def _measured(
    programs: Mapping[str, Sequence[str]],
    beside: int,
    folder: Path,
    rounds: int,
    note: Note,
) -> dict[str, list[Ended]]:
    """Return each program's result in each round, beside so many busy ones."""
    jobs = {
        name: starmap(
            _run, repeat((words, name == FIRST_USE, beside, folder, about(name, note)))
        )
        for name, words in programs.items()
    }
    return in_turn(jobs, rounds, about(f"beside {beside}", note))


def _run(
    words: Sequence[str], compiles: bool, beside: int, folder: Path, note: Note
) -> Ended:
    """Run a program in a folder of its own; return its result."""
    with TemporaryDirectory(dir=folder) as own, _busy(beside):
        kernels = {"NUMBA_CACHE_DIR": own} if compiles else {}
        began = time.perf_counter()
        ran = subprocess.run(
            words,
            cwd=own,
            env=os.environ | kernels,
            check=True,
            capture_output=True,
            start_new_session=True,  # Ctrl-C reaches this process alone, which ends it
        )
        seconds = time.perf_counter() - began
    accuracy = json.loads(ran.stdout.splitlines()[-1])["test_accuracy"]
    note(f"{seconds:.2f} s, test accuracy {accuracy:.4f}")
    return Ended(seconds, accuracy)


@contextmanager
def _busy(programs: int) -> Iterator[None]:
    """Keep so many cores busy, each with another program."""
    with ExitStack() as stack:
        for _ in range(programs):
            loop = [sys.executable, "-c", "while True: pass"]
            other = stack.enter_context(subprocess.Popen(loop, start_new_session=True))
            stack.callback(other.kill)
        time.sleep(1.0 if programs else 0.2)
        yield
