"""One run has a folder: the second is refused; what frees it; systems without locks."""

import errno
import gc
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from nnx import Network, train
from nnx.data.dataset import Dataset
from nnx.errors import InputError, WriteError
from nnx.settings import complete
from nnx.training import lock
from nnx.training.run import Run

fcntl = pytest.importorskip("fcntl", reason="this system has no such locks")
HERE = f"process {os.getpid()} on "


def _printed(scenario: str, folder: Path) -> str:
    """Return what `lock_copies.py` prints, whose process has no other threads."""
    script = Path(__file__).with_name("lock_copies.py")
    ran = subprocess.run(
        [sys.executable, script, scenario, folder],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


def test_of_many_at_once_one_has_the_folder(tmp_path: Path) -> None:
    (tmp_path / lock.NAME).write_text("1 elsewhere")  # of one that was killed
    assert _printed("many", tmp_path) == "[0, 1, 1, 1, 1, 1]\n" * 5


def test_a_copy_of_the_process_does_not_give_it_free(tmp_path: Path) -> None:
    assert _printed("copy", tmp_path) == "[0]\nrefused\n"
    assert list(tmp_path.iterdir()) == []


def test_a_run_has_its_folder_until_it_is_closed_or_gone(
    network: Network, data: Dataset, tmp_path: Path
) -> None:
    settings = complete({"epochs": 2})
    run = Run(network, data, settings, out=tmp_path)
    for _ in run:
        with pytest.raises(InputError, match=HERE):
            Run(network, data, settings, out=tmp_path)
    assert len(run.position.log) == 2
    del run
    gc.collect()
    run = Run(network, data, settings, out=tmp_path)
    run.close()
    train(network, data, epochs=1, out=tmp_path)
    with pytest.raises(InputError, match="already holds a run"):
        Run(network, data, settings, out=tmp_path)
    assert not (tmp_path / lock.NAME).exists()


def test_an_error_gives_the_folder_free(
    network: Network, data: Dataset, tmp_path: Path
) -> None:
    def fail(progress: object) -> None:
        raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt) as kept:  # as a notebook keeps it
            train(
                network, data, epochs=1, out=tmp_path, overwrite=True, on_progress=fail
            )
        assert kept.tb is not None
        assert not (tmp_path / lock.NAME).exists()


@pytest.mark.parametrize("error", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    """What is written in the file has to do: who it is, and whether he lives."""

    def flock(file: int, how: int) -> None:
        raise OSError(error, os.strerror(error))

    def kill(pid: int, signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr(fcntl, "flock", flock)
    release = lock.take(tmp_path)
    with pytest.raises(InputError, match=HERE):
        lock.take(tmp_path)
    release()
    name, path = os.uname().nodename, tmp_path / lock.NAME
    for words in "", f"{2**22 + 1} {name}", f"{10**30} {name}":
        path.write_text(words)
        lock.take(tmp_path)()
    path.write_text(f"12 {name}")
    with monkeypatch.context() as another_user:
        another_user.setattr(os, "kill", kill)
        with pytest.raises(InputError, match="process 12 on "):
            lock.take(tmp_path)
    path.write_text("12 elsewhere")
    with pytest.raises(InputError) as refused:
        lock.take(tmp_path)
    assert str(refused.value) == (
        f"{tmp_path}: process 12 on elsewhere is training here; wait for it to end, or "
        f"choose another --out; if that process no longer exists, remove {path}"
    )


def test_windows_locks_a_byte_and_keeps_open_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locking(file: int, how: str, count: int) -> None:
        assert (os.lseek(file, 0, os.SEEK_CUR), how, count) == (1 << 20, "now", 1)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PermissionError(errno.EACCES, "Permission denied") from None

    def unlink(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Access is denied")

    msvcrt = SimpleNamespace(locking=locking, LK_NBLCK="now")
    monkeypatch.setitem(sys.modules, "msvcrt", msvcrt)
    monkeypatch.setattr(lock, "fcntl", None)
    monkeypatch.delattr(os, "pread")
    monkeypatch.setattr(os, "unlink", unlink)
    path = tmp_path / lock.NAME
    path.write_text("12 elsewhere")  # of a process that was killed
    for _ in range(2):
        release = lock.take(tmp_path)
        with pytest.raises(InputError, match=HERE):
            lock.take(tmp_path)
        release()
        assert path.read_bytes() == b""


def test_what_is_no_file_of_a_lock_is_left_alone(tmp_path: Path) -> None:
    path, other = tmp_path / lock.NAME, tmp_path / "precious"
    other.write_text("precious")
    path.symlink_to(other)
    with pytest.raises(WriteError, match=r"\.nnx\.lock: cannot be written: "):
        lock.take(tmp_path)
    assert other.read_text() == "precious"
    path.unlink()
    path.mkdir()
    with pytest.raises(WriteError, match="cannot be written: Is a directory"):
        lock.take(tmp_path)


def test_a_lock_s_file_that_was_removed_harms_nothing(tmp_path: Path) -> None:
    release = lock.take(tmp_path)
    (tmp_path / lock.NAME).unlink()
    second = lock.take(tmp_path)
    release()
    with pytest.raises(InputError, match=HERE):
        lock.take(tmp_path)
    second()
    third = lock.take(tmp_path)
    (tmp_path / lock.NAME).unlink()
    tmp_path.rmdir()
    third()
    assert not tmp_path.exists()
