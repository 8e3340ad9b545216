"""`nnx serve` and `nnx export`: what they say, and what they refuse."""

import os
import re
import socket
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from signal import SIGINT, SIGTERM
from typing import Any
from urllib.parse import urlsplit

import pytest
from cli_files import tree

Run = Callable[..., Any]
BOTH = [("serve", "--port", "0"), ("export", "--html", "page.html")]


def test_a_page_in_one_file(run: Run, old_run: Path, cwd: Path) -> None:
    ran = run("export", old_run, "--html", "page.html")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "page.html\n", "")
    html = (cwd / "page.html").read_text("utf-8")
    assert html.startswith("<!doctype html>")
    assert '"hidden": [5]' in html
    again = run("export", old_run / "model.safetensors", "--html", "again.html")
    assert again.returncode == 0
    assert (cwd / "again.html").read_text("utf-8") == html


def test_a_file_that_cannot_be_written(
    refused: Callable[..., str], old_run: Path, cwd: Path
) -> None:
    (cwd / "page.html").mkdir()
    for name in "page.html", "nowhere/page.html":
        refused("export", old_run, "--html", name, says=(name, "cannot write"))
    refused("export", old_run, says=("--html",))
    refused("export", old_run, "--html", old_run / "model.safetensors", says=(".html",))


@pytest.mark.parametrize("command", BOTH, ids=lambda words: words[0])
def test_models_that_have_no_page(
    refused: Callable[..., str], old_run: Path, old_table: Path, command: tuple[str]
) -> None:
    name, *options = command
    refused(name, old_table, *options, says=("old table", "features", "not a picture"))
    refused(name, old_run.parent, *options, says=("holds no model.safetensors",))
    model = old_run / "model.safetensors"
    content = bytearray(model.read_bytes())
    content[-3] ^= 1
    model.write_bytes(content)
    refused(name, old_run, *options, says=(str(model), "damaged"))


def test_ports_and_hosts_that_cannot_be_had(
    refused: Callable[..., str], old_run: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        says = (f"port {port}", "in use", "--port")
        refused("serve", old_run, "--port", port, says=says)
    for port in "65536", "-1":
        refused("serve", old_run, "--port", port, says=(port,))
    for host, why in ("no such host", ""), ("x" * 64, "label"):
        line = refused("serve", old_run, "--host", host, says=(f"--host {host}: ", why))
        assert "Errno" not in line
    says = ("on port 65535 of 8.8.8.8: ", "an address of this machine")
    refused("serve", old_run, "--host", "8.8.8.8", "--port", 65535, says=says)


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_without_the_extra(
    refused: Callable[..., str], old_run: Path, missing: str, tmp_path: Path
) -> None:
    # A module of that name that is found first, and cannot be imported.
    (tmp_path / f"{missing}.py").write_text(
        f"raise ModuleNotFoundError('no', name={missing!r})\n"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    refused(
        "serve", old_run, "--port", 0,
        env={"PYTHONPATH": path},
        says=(missing, "pip install 'nnx-mlp[serve]'"), first="pass",
    )  # fmt: skip


def get(address: str, host: str | None = None) -> tuple[int, str]:
    connection = HTTPConnection(urlsplit(address).netloc, timeout=10)
    connection.request("GET", "/", headers={"Host": host} if host else {})
    response = connection.getresponse()
    said = response.read().decode()
    connection.close()
    return response.status, said


@pytest.mark.parametrize(("signal", "status"), [(SIGINT, 130), (SIGTERM, 143)])
def test_served_until_a_signal(
    start: Callable[..., Any], old_run: Path, cwd: Path, signal: int, status: int
) -> None:
    before = tree(cwd)
    process = start("serve", old_run, "--port", "0")
    line = process.stdout.readline()
    where = r"(http://127\.0\.0\.1:\d+/) \(Ctrl-C ends it\)\n"
    told = re.fullmatch(f"{re.escape(str(old_run))}: draw at {where}", line)
    assert told
    address, (host, _, port) = told[1], urlsplit(told[1]).netloc.partition(":")
    assert get(address)[1].startswith("<!doctype html>")
    assert get(address, "evil.example")[0] == 400
    with socket.create_connection((host, port), timeout=10) as connection:
        connection.sendall(b"no HTTP\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")
    # A browser keeps its connection open, and a request may have no end.
    with socket.create_connection((host, port), timeout=10) as connection:
        head = f"POST /answer HTTP/1.1\r\nHost: {host}\r\nContent-Length: 16\r\n"
        connection.sendall(
            f"{head}Content-Type: application/octet-stream\r\n\r\n".encode()
        )
        assert get(address)[0] == 200
        process.send_signal(signal)
        out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (status, "", "nnx: stopped\n")
    assert tree(cwd) == before


def test_a_host_that_is_given_is_for_all_names(
    start: Callable[..., Any], old_run: Path
) -> None:
    process = start("serve", old_run, "--port", "0", "--host", "0.0.0.0")
    line = process.stdout.readline()
    address = line.split(" at ")[1].split(",")[0]
    port = address.rstrip("/").rpartition(":")[2]
    assert f"/, on other machines http://{socket.gethostname()}:{port}/ (" in line
    assert get(address, "my-machine.lan")[0] == 200
