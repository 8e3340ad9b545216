"""Outputs that break: what nobody reads is lost, and nothing else is."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BufferedWriter, RawIOBase, TextIOWrapper
from pathlib import Path
from time import sleep
from types import SimpleNamespace
from typing import Any

import pytest
from cli_command import DEFAULT_SIGNALS, after, arguments, environment
from cli_files import CSV

from nnx.cli import streams
from nnx.cli.streams import Lenient

Run = Callable[..., Any]
EPOCHS = 100  # of which some are left when an output breaks
WORK = "--hidden", "300,300", "--batch-size", 2, "--backend", "numpy"
TRAIN = ("train", "--dataset", "squares", *WORK, "--epochs", EPOCHS, "--out", "a")
# The program is the only one of its session, whose terminal is its stderr.
OWN_TERMINAL = (
    f"{DEFAULT_SIGNALS}; os.setsid(); os.close(os.open(os.ttyname(2), os.O_RDWR))"
)


def rows(folder: Path) -> int:
    return len((folder / "log.csv").read_text().splitlines()) - 1


def test_a_reader_of_stderr_that_leaves_does_not_end_training(
    start: Callable[..., Any], old_run: Path, cwd: Path
) -> None:
    process = start(*TRAIN)
    while "epoch 3/" not in process.stderr.readline():
        assert process.poll() is None
    process.stderr.close()
    assert process.wait(timeout=60) == 0
    assert process.stdout.read().endswith("model: a/model.safetensors\n")
    assert rows(cwd / "a") == EPOCHS


@pytest.mark.parametrize("full", [False, True], ids=["whole run", "no room"])
def test_stderr_that_takes_nothing(run: Run, old_run: Path, full: bool) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    words = ["--epochs", 2] if full else ["--epochs", 0]
    with open("/dev/full", "w") as stderr:
        streams = {"stderr": stderr, "stdout": subprocess.PIPE, "capture_output": False}
        ran = run(*TRAIN, *words, **streams)
    assert ran.returncode == (0 if full else 2)
    assert (old_run.parent / "a/model.safetensors").exists() == full


@pytest.mark.parametrize("own", [False, True], ids=["of others", "its own"])
def test_a_terminal_that_vanishes(
    old_run: Path, cwd: Path, tmp_path: Path, own: bool, done: Run
) -> None:
    """Its own leaves SIGHUP, and the run is saved; after another's it goes on."""
    pty = pytest.importorskip("pty")
    reader, terminal = pty.openpty()
    process = subprocess.Popen(
        [*after(OWN_TERMINAL if own else DEFAULT_SIGNALS), *arguments(TRAIN)],
        cwd=cwd,
        env=environment(tmp_path / "cache") | {"TERM": "xterm-256color"},
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    sent = b""
    while b"images/s" not in sent:
        sent += os.read(reader, 1 << 16)
    os.close(reader)
    assert process.wait(timeout=60) == (129 if own else 0)
    if own:
        assert 0 < rows(cwd / "a") < EPOCHS
        done("train", "--out", "a", "--resume", "--epochs", EPOCHS)
    assert rows(cwd / "a") == EPOCHS


def test_results_nobody_reads_change_nothing_else(
    start: Callable[..., Any], old_run: Path, cwd: Path
) -> None:
    """What is missed is said, and is a status."""
    process = start(*TRAIN, "--epochs", 2, "--require-accuracy", 1)
    process.stdout.close()
    said = process.stderr.read()
    assert process.wait() == 1
    assert said.splitlines()[-1].endswith("is below the required 1")
    assert (cwd / "a/model.safetensors").exists()


@pytest.mark.parametrize("words", ["evaluate old-run", "plot old-run"])
def test_head_is_no_failure(
    old_run: Path, cwd: Path, tmp_path: Path, words: str
) -> None:
    old_run.rename(cwd / "old-run")
    shell = f"set -o pipefail; {sys.executable} -m nnx {words} | head -n 0"
    ran = subprocess.run(
        ["bash", "-c", shell],
        cwd=cwd,
        env=environment(tmp_path / "cache"),
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (cwd / "old-run/report.html").exists() == words.startswith("plot")


def test_a_table_whose_reader_leaves_is_predicted_no_further(
    start: Callable[..., Any], old_table: Path, cwd: Path
) -> None:
    header, *lines = CSV.splitlines()
    with open(cwd / "long.csv", "w") as file:
        file.write(f"{header}\n")
        for _ in range(200_000 // len(lines)):
            file.write("\n".join(lines) + "\n")
    process = start("predict", old_table, "long.csv")
    assert process.stdout.readline().startswith("row,")
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    said = process.stderr.read()
    assert "200,000" not in said
    assert "nnx:" not in said


def test_an_error_that_is_not_forgiven_is_raised_once() -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    with open("/dev/full", "w") as full:
        forgiving = BufferedWriter(Lenient(full, OSError))
        forgiving.write(b"lost")
        forgiving.flush()
        strict = BufferedWriter(Lenient(full, BrokenPipeError))
        strict.write(b"told of")
        with pytest.raises(OSError, match="No space left"):
            strict.flush()
        strict.flush()  # as Python does once more at its end


def test_an_output_that_does_not_wait_loses_nothing() -> None:
    """As another program that has the same pipe may have set it."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def read_later() -> bytes:
        sleep(0.1)
        with open(reader, "rb") as pipe:
            return pipe.read()

    with ThreadPoolExecutor(1) as pool:
        received = pool.submit(read_later)
        with open(writer, "w") as pipe:
            results = BufferedWriter(Lenient(pipe, BrokenPipeError))
            results.write(bytes(10**6))
            results.flush()
    assert len(received.result()) == 10**6


def test_a_reader_that_leaves_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows says of a pipe without a reader that the argument is invalid."""
    number = errno.EINVAL

    class Closed(RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, content: Any) -> int:
            raise OSError(number, os.strerror(number))

    stream = TextIOWrapper(BufferedWriter(Closed()))
    with pytest.raises(OSError, match="Invalid argument"):
        Lenient(stream, BrokenPipeError).write(b"told of")
    monkeypatch.setattr(streams, "os", SimpleNamespace(name="nt"))
    assert Lenient(stream, BrokenPipeError).write(b"lost") == 4
    number = errno.ENOSPC
    with pytest.raises(OSError, match="No space left"):
        Lenient(stream, BrokenPipeError).write(b"told of")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_that_is_ignored_stays_so(
    old_run: Path, cwd: Path, tmp_path: Path, number: int
) -> None:
    """As nohup has SIGHUP, and a shell without job control has Ctrl-C."""
    process = subprocess.Popen(
        [
            *after(f"import signal; signal.signal({number}, signal.SIG_IGN)"),
            *arguments(TRAIN),
        ],
        cwd=cwd,
        env=environment(tmp_path / "cache"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    while "epoch 3/" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "nnx:" not in said
    assert rows(cwd / "a") == EPOCHS


DOES = """
import sys, warnings
from nnx.cli import main

def app(**how): {}

main.app = app
sys.argv = ["nnx"]
main.main()
"""


@pytest.mark.parametrize(
    ("does", "status", "says"),
    [
        ('warnings.warn("a library\\nis old")', 0, "nnx: a library is old\n"),
        (
            'raise MemoryError("Unable to allocate 9 GiB")',
            4,
            "nnx: out of memory (Unable to allocate 9 GiB); try a smaller --batch-size "
            "or --hidden\n",
        ),
        ("raise MemoryError", 4, "nnx: out of memory\n"),
    ],
)
def test_what_libraries_do_is_one_line(
    does: str, status: int, says: str, cwd: Path
) -> None:
    words = sys.executable, "-c", DOES.format(does)
    ran = subprocess.run(words, cwd=cwd, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (status, "", says)


def test_a_fault_of_nnx_is_not_taken_for_one_of_the_user(cwd: Path) -> None:
    words = sys.executable, "-c", DOES.format("return {}['key']")
    ran = subprocess.run(words, cwd=cwd, capture_output=True, text=True)
    assert ran.returncode == 1
    assert ran.stderr.startswith("Traceback")
    assert ran.stderr.endswith("KeyError: 'key'\n")
