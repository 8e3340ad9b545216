"""Files are replaced whole, and nothing but files is replaced."""

import errno
import os
import socket
import stat
from contextlib import closing
from pathlib import Path

import pytest

from nnx import files
from nnx.errors import InputError, OutOfMemoryError, WriteError


def test_what_a_link_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    target, link = tmp_path / "folder" / "file", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    files.write(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "file",
        "folder",
        "link",
    ]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_left_as_it_is(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match=r"pipe: cannot write 3 bytes: it is a pipe"):
        files.write(pipe, b"new")
    assert pipe.is_fifo()


@pytest.mark.parametrize("name", [".", "..", "folder"])
def test_a_folder_is_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="cannot write 3 bytes: it is a folder"):
        files.write(Path(name), b"new")


def test_a_link_to_nothing_leads_to_the_new_file(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("target")
    files.write(link, b"new")
    assert link.is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"
    link.unlink()
    link.symlink_to("nowhere/target")
    with pytest.raises(InputError, match=r"link: cannot write 3 bytes: there is no su"):
        files.write(link, b"new")


def test_another_name_of_a_file_keeps_what_it_was(tmp_path: Path) -> None:
    first, other = tmp_path / "first", tmp_path / "other"
    first.write_bytes(b"old")
    os.link(first, other)
    files.write(first, b"new")
    assert (first.read_bytes(), other.read_bytes()) == (b"new", b"old")


def test_a_link_without_an_end_is_left_as_it_is(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.symlink_to(two)
    two.symlink_to(one)
    with pytest.raises(InputError, match=r"cannot write 3 bytes: it is a link without"):
        files.write(one, b"new")
    assert one.is_symlink()
    assert two.is_symlink()


def test_devices_and_sockets_are_left_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path may have a hundred characters
    with closing(socket.socket(socket.AF_UNIX)) as bound:
        bound.bind("socket")
        with pytest.raises(InputError, match="it is a socket"):
            files.write(Path("socket"), b"new")
        assert Path("socket").is_socket()
    try:
        os.mknod("null", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    except OSError:
        return  # only root may make one
    link = tmp_path / "link"
    link.symlink_to("null")
    for path in Path("null"), link:
        with pytest.raises(InputError, match="it is a device"):
            files.write(path, b"new")
    assert Path("null").is_char_device()


def test_a_file_that_another_program_reads_on_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attempt is repeated for a while, as a virus scanner lets go soon."""
    replace, refusals = os.replace, 2

    def refuse(*paths: Path) -> None:
        nonlocal refusals
        refusals -= 1
        if refusals >= 0:
            raise PermissionError(errno.EACCES, "Access is denied")
        replace(*paths)

    monkeypatch.setattr(os, "replace", refuse)
    monkeypatch.setattr(files, "PAUSES", (0.0, 0.0))
    files.write(tmp_path / "file", b"new")
    refusals = 3
    with pytest.raises(WriteError, match="cannot write 5 bytes: Access is denied"):
        files.write(tmp_path / "file", b"later")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"new"]


def test_two_writers_of_a_file_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with files.replaced(path, "it") as one:
        one.write(b"one")
        with files.replaced(path, "it") as other:
            other.write(b"other")
        assert path.read_bytes() == b"other"
    assert path.read_bytes() == b"one"
    for name in (
        ".file.0123abcd.part",
        ".file.part",
        ".file.swp",
        ".a-1.b.4567abcd.part",
        ".files.part",
    ):
        (tmp_path / name).touch()
    files.remove_parts(tmp_path, "file", "a-*.b")
    assert {each.name for each in tmp_path.iterdir()} == {
        "file", ".files.part", ".file.swp",
    }  # fmt: skip


def test_content_is_on_the_disk_before_it_replaces_the_old(tmp_path, monkeypatch):
    """Else a power cut could leave an empty file in the old one's place."""
    happened, fsync, replace = [], os.fsync, os.replace

    def synchronized(file):
        happened.append(os.fstat(file).st_size)
        fsync(file)

    def replaced(*paths):
        happened.append("replaced")
        replace(*paths)

    monkeypatch.setattr(os, "fsync", synchronized)
    monkeypatch.setattr(os, "replace", replaced)
    files.write(tmp_path / "it", b"12345")
    assert happened == [5, "replaced"]


def test_a_file_is_read_whole_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert files.read(path, 5) == b"12345"
    with pytest.raises(InputError, match="file: has over 4 bytes, the most that is re"):
        files.read(path, 4)


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.ENOMEM, "no memory")])
def test_no_room_for_a_file_is_no_wrong_input(tmp_path: Path, error: Exception) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    for place, what in (path, "5 bytes"), (tmp_path, "what is in it"):
        says = f": out of memory: .* {what}$"
        with pytest.raises(OutOfMemoryError, match=says), files.readable(place):
            raise error


def test_a_library_s_error_is_one_line(tmp_path: Path) -> None:
    says = "x: cannot be read: first$"
    with pytest.raises(InputError, match=says), files.readable(tmp_path / "x"):
        raise OSError("first\nsecond")


def test_settings_that_are_nested_too_deep(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_bytes(b"a = " + b"[" * 20_000)
    with pytest.raises(InputError, match="settings.toml: not TOML: "):
        files.read_toml(path)
