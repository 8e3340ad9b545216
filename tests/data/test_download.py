import gzip
import hashlib
import io
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from data_files import samples
from idx_files import IDX_NAMES, idx_bytes
from platformdirs import PlatformDirs

from nnx.data.download import cache_folder, fetch, progress
from nnx.data.load import load
from nnx.data.named import PUBLISHED, File
from nnx.errors import InputError

CONTENT = {
    f"{name}.gz": gzip.compress(idx_bytes(values), mtime=0)
    for name, values in zip(IDX_NAMES, [*samples(6), *samples(3)], strict=True)
}
FIRST = next(iter(CONTENT))


class Mirrors(BaseHTTPRequestHandler):
    """/good/ delivers, /wrong/ delivers something else, /cut/ hangs up, others 404.

    Like some real mirrors, it calls a .gz file an encoding where the client allows it,
    and the client then unpacks the file.
    """

    def do_GET(self):
        self.server.asked.append(self.path)
        kind, name = self.path.strip("/").split("/")
        content = CONTENT[name] if kind in ("good", "cut") else b"<!DOCTYPE html>"
        self.send_response(200 if kind in ("good", "cut", "wrong") else 404)
        self.send_header("Content-Length", str(len(content)))
        if "gzip" in self.headers["Accept-Encoding"]:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if kind == "cut" else content)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def server(monkeypatch):
    """A server on this machine; `use` makes its folders the mirrors of mnist."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Mirrors) as server:
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()

        def use(*kinds):
            files = (
                File(name, len(data), hashlib.sha256(data).hexdigest())
                for name, data in CONTENT.items()
            )
            base = f"http://127.0.0.1:{server.server_port}"
            changed = PUBLISHED["mnist"]._replace(
                mirrors=tuple(f"{base}/{kind}/" for kind in kinds), files=tuple(files)
            )
            monkeypatch.setitem(PUBLISHED, "mnist", changed)

        server.use = use
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield server
        server.shutdown()
        thread.join()


def in_cache():
    return {path.name: path.read_bytes() for path in cache_folder("mnist").iterdir()}


def test_fetches_into_the_cache_and_only_once(server, capsys):
    server.use("good")
    assert fetch("mnist") == cache_folder("mnist")
    assert in_cache() == CONTENT
    fetch("mnist")
    assert len(server.asked) == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 4
    assert err.startswith("downloading http://127.0.0.1")


@pytest.mark.parametrize("broken", ["missing", "wrong", "cut"])
def test_second_mirror_is_used_where_the_first_is_broken(server, broken):
    server.use(broken, "good")
    fetch("mnist")
    assert in_cache() == CONTENT


@pytest.mark.parametrize(
    ("broken", "said"),
    [("missing", "HTTP status 404"), ("wrong", "wrong checksum"), ("cut", "Error")],
)
def test_no_mirror_delivers(server, broken, said):
    server.use(broken, broken)
    with pytest.raises(InputError, match=said) as caught:
        fetch("mnist")
    message = str(caught.value)
    assert "\n" not in message
    for name, data in CONTENT.items():
        assert f"{name} (SHA-256 {hashlib.sha256(data).hexdigest()})" in message
    assert str(cache_folder("mnist")) in message
    assert "--data-dir or NNX_DATA_DIR" in message
    assert in_cache() == {}


def test_nothing_can_be_reached(server):
    server.use("good")
    known = PUBLISHED["mnist"]
    PUBLISHED["mnist"] = known._replace(mirrors=("http://127.0.0.1:9/",))
    with pytest.raises(InputError, match=r"127.0.0.1:9: ConnectionError.*by hand"):
        fetch("mnist")


def test_corrupt_file_in_the_cache_is_fetched_again(server):
    server.use("good")
    fetch("mnist")
    (cache_folder("mnist") / FIRST).write_bytes(b"zeros")
    fetch("mnist")
    assert in_cache() == CONTENT
    assert len(server.asked) == 5


def test_whole_files_stay_when_another_cannot_be_fetched(server):
    server.use("good")
    fetch("mnist")
    (cache_folder("mnist") / FIRST).write_bytes(b"old")
    server.use("wrong")
    with pytest.raises(InputError):
        fetch("mnist")
    assert in_cache() == {**CONTENT, FIRST: b"old"}


def test_cache_that_cannot_be_written(server, monkeypatch):
    server.use("good", "good")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pooch.retrieve", full)
    with pytest.raises(InputError, match=r"cannot save .*No space left on device"):
        fetch("mnist")


def test_no_home(monkeypatch):
    """As of a number in a container that is no user there."""

    def nobody(uid):
        raise KeyError(uid)

    def real(app):
        return PlatformDirs(app).user_cache_dir

    monkeypatch.setattr("platformdirs.user_cache_dir", real)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    with pytest.raises(InputError, match=r"no home: set HOME or XDG_CACHE_HOME, or gi"):
        cache_folder("mnist")


def test_loading_by_name_fetches_what_is_not_there(server):
    server.use("good")
    data = load("mnist")
    assert data.train.images.shape == (6, 20)
    assert len(data.classes) == 10
    load("mnist")
    assert len(server.asked) == 4


@pytest.mark.parametrize(
    ("name", "said"),
    [("digits", "comes with nnx"), ("cifar", "mnist, fashion-mnist, kmnist")],
)
def test_refuses_names_without_mirrors(name, said):
    with pytest.raises(InputError, match=said):
        fetch(name)


def test_terminal_shows_a_bar(server, monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", terminal)
    server.use("good")
    fetch("mnist")
    assert in_cache() == CONTENT
    assert "127.0.0.1" in terminal.getvalue()


def test_other_than_a_terminal_shows_a_line(capsys):
    with progress("http://somewhere", 12345) as bar:
        assert bar is False
    assert capsys.readouterr().err == "downloading http://somewhere (12,345 bytes)\n"
