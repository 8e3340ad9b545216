"""Paths that lead to no file, files without an end, and full disks."""

import os
import re
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from cli_files import CSV, tree

Run = Callable[..., Any]
Refused = Callable[..., str]

pytestmark = pytest.mark.skipif(
    not hasattr(os, "mkfifo"), reason="this system has no named pipes"
)
GIB = 1 << 30


def pipe(path: Path) -> Path:
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    return path


def sparse(path: Path, begin: bytes = b"", size: int = 3 * GIB) -> Path:
    """Write a file of many zeros that takes no room on the disk."""
    path.write_bytes(begin)
    os.truncate(path, size)
    return path


TRAIN = "train", "--out", "new", "--quiet"
READERS = {
    "config": (*TRAIN, "--config", "FILE"),
    "from": (*TRAIN, "--from", "FILE"),
    "dataset": (*TRAIN, "--dataset", "FILE"),
    "test-data": (*TRAIN, "--dataset", "t.csv", "--target", "a", "--test-data", "FILE"),
    "evaluate": ("evaluate", "FILE"),
    "predict": ("predict", "FILE", "x.png"),
    "rows": ("predict", "old run", "FILE"),
    "import": ("import", "FILE", "--out", "x.safetensors", "--activation", "relu"),
}
ENDINGS = {
    "config": ".toml", "dataset": ".csv", "test-data": ".csv",
    "rows": ".csv",
}  # fmt: skip


def words(reader: str, file: object) -> list[str]:
    return [word.replace("FILE", str(file)) for word in READERS[reader]]


@pytest.fixture
def table(cwd: Path) -> Path:
    (cwd / "t.csv").write_text(CSV)
    return cwd / "t.csv"


@pytest.mark.parametrize("reader", READERS)
def test_a_pipe_is_not_waited_for(
    refused: Refused, old_run: Path, table: Path, cwd: Path, reader: str
) -> None:
    file = pipe(cwd / f"pipe{ENDINGS.get(reader, '.safetensors')}")
    says = (f"{file.name}: cannot be read: it is a pipe, not a regular file",)
    refused(*words(reader, file.name), says=says, timeout=20)


@pytest.mark.parametrize("reader", ["config", "predict"])
def test_a_device_is_not_read(refused: Refused, old_run: Path, reader: str) -> None:
    says = ("/dev/zero: cannot be read: it is a device, not a regular file",)
    refused(*words(reader, "/dev/zero"), says=says, timeout=20)


def test_a_socket_and_a_link_without_an_end_are_not_read(
    refused: Refused, cwd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cwd / "loop").symlink_to("loop")
    refused(*words("config", "loop"), says=("loop: cannot be read: it is a link wit",))
    monkeypatch.chdir(cwd)  # a socket's path may have a hundred characters
    with closing(socket.socket(socket.AF_UNIX)) as bound:
        bound.bind("socket")
        refused(
            *words("config", "socket"), says=("socket: cannot be read: it is a so",)
        )


def test_a_link_without_an_end_is_not_written_to(
    refused: Refused, old_table: Path, cwd: Path
) -> None:
    (cwd / "loop").symlink_to("loop")
    (cwd / "rows.csv").write_text("1,2,3\n")
    says = ("nnx: loop: cannot write predictions: it is a link without an end",)
    refused("predict", old_table, "rows.csv", "--out", "loop", says=says)


def test_pictures_that_are_no_files(run: Run, old_run: Path, cwd: Path) -> None:
    pipe(cwd / "pipe.png")
    ran = run("predict", old_run, "pipe.png", "/dev/zero", "squares", timeout=20)
    assert ran.returncode == 1
    kinds = [line.split("but ")[1].split(";")[0] for line in ran.stderr.splitlines()]
    assert kinds == ["a pipe", "a device", "a folder without pictures"]


@pytest.mark.parametrize("name", ["config.toml", "log.csv", "model.safetensors"])
def test_a_pipe_in_a_runs_folder(refused: Refused, old_run: Path, name: str) -> None:
    pipe(old_run / name)
    says = (f"{name}: cannot be read: it is a pipe",)
    if name != "model.safetensors":
        refused("plot", old_run, says=says, timeout=20)
    else:
        refused("evaluate", old_run / name, says=says, timeout=20)
    again = "train", "--dataset", "squares", "--out", old_run, "--overwrite"
    refused(*again, says=(f"{name}: is a pipe, where a run's file would be",))


SMALL = "import resource as r; r.setrlimit(r.RLIMIT_AS, (1 << 30, 1 << 30))"


@pytest.mark.parametrize(
    ("reader", "name", "begin", "says"),
    [
        ("config", "x.toml", b"seed = 1\n", "has over 4,194,304 bytes, the most"),
        ("dataset", "x.csv", b"label,a\n0,1\n1,2\n", "line 4: not text: it has NUL"),
        ("rows", "x.csv", b"1,2\n", "line 2: not text: it has NUL"),
        ("dataset", "x.npz", b"PK\x03\x04", "not a whole .npz archive"),
    ],
)
def test_files_of_three_gigabytes(
    run: Run, old_run: Path, cwd: Path, reader: str, name: str, begin: bytes, says: str
) -> None:
    """What is refused is the file, and not what a smaller batch would mend."""
    sparse(cwd / name, begin)
    few = {"first": SMALL} if reader == "dataset" else {}
    ran = run(*words(reader, name), **few)
    assert (ran.returncode, ran.stdout) == (2, "")
    (line,) = ran.stderr.splitlines()
    assert line.startswith(f"nnx: {name}")
    assert says in line


def test_a_model_that_has_no_room(run: Run, cwd: Path) -> None:
    header = b'{"a":{"dtype":"U8","shape":[3000000000],"data_offsets":[0,3000000000]}}'
    begin = len(header).to_bytes(8, "little") + header
    sparse(cwd / "x.safetensors", begin, len(begin) + 3 * 10**9)
    ran = run("evaluate", "x.safetensors", first=SMALL)
    assert ran.stderr.startswith("nnx: x.safetensors: out of memory: there is no room")
    assert (ran.returncode, ran.stderr.count("\n")) == (4, 1)


def test_numba_that_has_no_room(run: Run) -> None:
    few = "import resource as r; r.setrlimit(r.RLIMIT_AS, (200 << 20, 200 << 20))"
    ran = run(*TRAIN, "--epochs", 1, "--backend", "numba", first=few)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("nnx: backend 'numba' cannot be loaded: out of memory")
    assert ran.stderr.count("\n") == 1


def fill(disk: Path, leave: int = 4096) -> Path:
    """Write a file that leaves so many bytes, unless the disk is full already."""
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    with suppress(OSError):
        (disk / "filler").write_bytes(bytes(max(0, free - leave)))
    return disk / "filler"


def begun(start: Callable[..., Any], out: Path, *more: str) -> Any:
    """Start a run that has no end, and return it once it has saved."""
    endless = "--epochs", 1_000_000, "--hidden", 20, "--quiet"
    process = start("train", *endless, "--out", out, *more)
    until = time.monotonic() + 60
    while not (out / "checkpoint.safetensors").exists():
        assert time.monotonic() < until
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    return process


@pytest.mark.parametrize(
    "more",
    [(), pytest.param(("--tensorboard",), marks=pytest.mark.sweep)],
    ids=["", "tensorboard"],
)
def test_34_a_disk_that_is_full_in_mid_run(
    start: Callable[..., Any], done: Run, disk: Path, more: tuple[str, ...]
) -> None:
    if more:
        pytest.importorskip("tensorboardX", reason="needs the extra [tensorboard]")
    out = disk / "run"
    process = begun(start, out, *more)
    filler = fill(disk)
    printed, said = process.communicate(timeout=60)
    assert (process.returncode, printed, said.count("\n")) == (1, "", 1)
    # Events may meet the full disk before a checkpoint does; they tell no size.
    # Whichever file of the run is written next; how fast epochs are decides.
    lost = r"(checkpoint\.safetensors|log\.(csv|jsonl)): cannot write [\d,]+ bytes"
    if more:
        lost += "|tensorboard: cannot write events"
    assert re.fullmatch(f"nnx: {out}/({lost}): No space left on device\n", said), said
    assert not [*out.glob(".*.part")]
    done("evaluate", out / "checkpoint.safetensors", "--dataset", "digits")
    filler.unlink(missing_ok=True)


def test_34_a_folder_that_becomes_read_only_in_mid_run(
    start: Callable[..., Any], done: Run, disk: Path
) -> None:
    out = disk / "run"
    process = begun(start, out)
    # The disk itself cannot be, while a file on it, the lock, is open to be written.
    subprocess.check_call(["mount", "--bind", out, out])
    subprocess.check_call(["mount", "-o", "remount,bind,ro", out])
    before = tree(out)
    printed, said = process.communicate(timeout=60)
    assert (process.returncode, printed, said.count("\n")) == (1, "", 1)
    assert said.startswith(f"nnx: {out}")
    assert " bytes: Read-only file system" in said
    own = {".nnx.lock": ""}  # which is open already, and emptied at the end
    assert tree(out) | own == before | own
    done("evaluate", out / "checkpoint.safetensors", "--dataset", "digits")


def test_34_what_else_is_written_to_a_full_disk(
    run: Run, old_run: Path, cwd: Path, disk: Path
) -> None:
    (cwd / "rows.csv").write_text((",".join(["9"] * 16) + "\n") * 5000)
    for file in "a.html", "a.h", "rows.csv":
        (disk / file).write_bytes(b"old")
    fill(disk, 0)
    written = {
        "a.html": ("export", old_run, "--html", disk / "a.html"),
        "a.h": ("export", old_run, "--c", disk / "a.h"),
        "rows.csv": ("predict", old_run, "rows.csv", "--out", disk / "rows.csv"),
    }
    for file, command in written.items():
        ran = run(*command)
        assert (ran.returncode, ran.stdout) == (1, ""), ran.stderr
        line = ran.stderr.splitlines()[-1]
        assert line.startswith(f"nnx: {disk / file}: cannot write ")
        assert line.endswith(": No space left on device")
    assert {path.name for path in disk.iterdir()} == {*written, "filler"}
    assert (disk / "a.html").read_bytes() == b"old"


WRITERS = {
    "a.html": ("export", "old run", "--html", "a.html"),
    "README.md": ("export", "old run", "--card", "README.md"),
    "rows.csv": ("predict", "old run", "pixels.csv", "--out", "rows.csv"),
    "compared.png": ("plot", "old run", "old run", "--out", "."),
}


@pytest.mark.parametrize("name", WRITERS)
def test_nothing_but_a_file_is_replaced(
    done: Run, run: Run, old_run: Path, cwd: Path, name: str
) -> None:
    (cwd / "pixels.csv").write_text((",".join(["9"] * 16) + "\n") * 3)
    pipe(cwd / name)
    ran = run(*WRITERS[name], timeout=20)
    assert (ran.returncode, ran.stdout) == (2, "")
    line = ran.stderr.splitlines()[-1]
    assert line.startswith(f"nnx: {name}: cannot write ")
    assert line.endswith(": it is a pipe")
    assert (cwd / name).is_fifo()
    (cwd / name).unlink()
    (cwd / name).symlink_to(cwd / "target")
    if name != "README.md":  # one that is there must be a card
        (cwd / "target").write_bytes(b"old")
    done(*WRITERS[name])
    assert (cwd / name).is_symlink()
    assert (cwd / "target").stat().st_size > 3
