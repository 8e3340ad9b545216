"""Running the real command in a process of its own, and a watch on what it leaves."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_files import CSV, idx_folder, tree
from forked import Forks

# A shell that runs the tests in the background has Ctrl-C ignored, nohup SIGHUP.
DEFAULT_SIGNALS = (
    "import signal as s; "
    "[s.signal(n, s.SIG_DFL) for n in (s.SIGINT, getattr(s, 'SIGHUP', s.SIGINT))]"
)
TINY = "--epochs", "1", "--hidden", "5"
COMMAND = [sys.executable, "-m", "nnx"]
# Read as Python starts.
AT_START = {"PYTHONIOENCODING"}
BUSY = "the machine is busy: "
Completed = subprocess.CompletedProcess[str]
Run = Callable[..., Completed]


def environment(cache: Path) -> dict[str, str]:
    """Return variables with which no test finds the user's data, nor a network."""
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("NNX_", "PYTEST_", "COV_"))
        and name.lower() not in ("no_proxy", "http_proxy", "https_proxy")
        and name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")
    }
    # One thread: the tests' machine may be busy, and the sums always the same.
    own = {"XDG_CACHE_HOME": str(cache), "OPENBLAS_NUM_THREADS": "1"}
    return inherited | proxies | own | {"PYTHONIOENCODING": "utf-8:surrogateescape"}


def after(first: str) -> list[str]:
    """Return a command that does something first, and then becomes `nnx`.

    The tests' process has threads, and could not safely do it between fork and exec.
    """
    code = (
        f"import os, sys; {first}; os.execv(sys.executable, {COMMAND} + sys.argv[1:])"
    )
    return [sys.executable, "-I", "-S", "-c", code]


def arguments(args: tuple[Any, ...], plots: bool = False) -> list[str]:
    """Return a command's arguments; training draws no pictures unless with plots."""
    words = [*map(str, args)]
    if words[:1] == ["train"] and not plots:
        words.insert(1, "--no-plots")
    return words


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
def start(cwd: Path, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Start `nnx` and return the process, with stdout and stderr as pipes."""
    started = []

    def start(*args: Any, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*after(DEFAULT_SIGNALS), *arguments(args)],
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
