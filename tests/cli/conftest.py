"""Running the real command in a process of its own, and checks of what it leaves."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_command import COMMAND, DEFAULT_SIGNALS, after, arguments, environment
from cli_files import CSV, idx_folder, tree
from forked import Forks

TINY = "--epochs", "1", "--hidden", "5"
# Read as Python starts.
AT_START = {"PYTHONIOENCODING"}
BUSY = "the machine is busy: "
Completed = subprocess.CompletedProcess[str]
Run = Callable[..., Completed]


def quiet(ran: Completed) -> Completed:
    """Return it without the line that tells of other programs, which the tests are."""
    lines = (ran.stderr or "").splitlines(keepends=True)
    if any(line.startswith(BUSY) for line in lines):
        ran.stderr = "".join(line for line in lines if not line.startswith(BUSY))
    return ran


@pytest.fixture
def cwd(tmp_path: Path) -> Path:
    """An empty folder, its name with a space and not in ASCII, to run in."""
    folder = tmp_path / "Ziffern und Größe"
    folder.mkdir()
    return folder


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    """What a command's environment is."""
    return environment(tmp_path / "cache")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = "mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder
    if os.geteuid() or not shutil.which("mount") or subprocess.call(mount):
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.check_call(["umount", "-l", folder])


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks | None]:
    """What runs commands quickly; None where each is a program of its own."""
    if not sys.platform.startswith("linux"):
        yield None
        return
    forks = Forks(environment(tmp_path_factory.mktemp("forks")))
    yield forks
    forks.stop()


@pytest.fixture
def run(cwd: Path, tmp_path: Path, forks: Forks | None) -> Run:
    """Run `nnx` with these arguments; env adds variables, first is done before it."""

    def run(
        *args: Any,
        env: dict[str, str] | None = None,
        first: str = "",
        plots: bool = False,
        **options: Any,
    ) -> Completed:
        words = arguments(args, plots)
        plain = not (first or options.keys() - {"timeout"} or AT_START & {*(env or {})})
        if plain and forks:
            variables = environment(tmp_path / "cache") | (env or {})
            return quiet(forks.run(words, cwd, variables, **options))
        ran = subprocess.run(
            [*(after(first) if first else COMMAND), *words],
            **{"cwd": cwd, "capture_output": True, "timeout": 60} | options,
            env=environment(tmp_path / "cache") | (env or {}),
            encoding="utf-8",
            errors="surrogateescape",
            stdin=subprocess.DEVNULL,
        )
        return quiet(ran)

    return run


@pytest.fixture
def done(run: Run) -> Run:
    """Run `nnx`; demand that it succeeds."""

    def done(*args: Any, **options: Any) -> Completed:
        ran = run(*args, **options)
        assert ran.returncode == 0, ran.stderr
        return ran

    return done


@pytest.fixture
def start(cwd: Path, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Start `nnx` and return the process, with stdout and stderr as pipes."""
    started = []

    def start(
        *args: Any, env: dict[str, str] | None = None, plots: bool = False
    ) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*after(DEFAULT_SIGNALS), *arguments(args, plots)],
            cwd=cwd,
            env=environment(tmp_path / "cache") | (env or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def _trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of one epoch: `pictures` of 4x4 pixels in 3 classes, and a table's."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "table.csv").write_text(CSV)
    idx_folder(folder / "squares")
    for data, name in ("squares", "pictures"), ("table.csv", "table"):
        ran = subprocess.run(
            [*COMMAND, "train", "--no-plots", "--dataset", data, "--out", name, *TINY],
            cwd=folder,
            env=environment(folder / "cache"),
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, ran.stderr
    return folder


@pytest.fixture
def old_run(_trained: Path, cwd: Path) -> Path:
    """A finished run in the working folder, on pictures of 4x4 in 3 classes."""
    shutil.copytree(_trained / "squares", cwd / "squares")
    return shutil.copytree(_trained / "pictures", cwd / "old run")


@pytest.fixture
def old_table(_trained: Path, cwd: Path) -> Path:
    """A finished run in the working folder, on rows that are no pictures."""
    return shutil.copytree(_trained / "table", cwd / "old table")


@pytest.fixture
def refused(run: Run, cwd: Path) -> Callable[..., str]:
    """Run `nnx`; demand one line of refusal, and that no file came, went or changed."""

    def refused(
        *args: Any, status: int = 2, says: tuple[str, ...] = (), **options: Any
    ) -> str:
        before = tree(cwd)
        ran = run(*args, **options)
        assert (ran.returncode, ran.stdout) == (status, ""), ran.stderr
        lines = ran.stderr.splitlines()
        assert len(lines) == 1, ran.stderr
        assert lines[0].startswith("nnx: ")
        for words in says:
            assert words in lines[0]
        assert tree(cwd) == before
        return lines[0]

    return refused
