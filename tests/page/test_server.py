"""The server behind the page: every kind of wrong request, and many at once."""

import base64
import http.client
import json
import re
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

import nnx
from nnx.maths.activations import ACTIVATIONS
from nnx.page import listen
from nnx.page.app import answer
from nnx.page.render import ASSETS, described, page

KIND = {"Content-Type": "application/octet-stream"}
PICTURE = bytes(64)


def ask(
    address: str,
    path: str = "/answer",
    body: bytes | None = PICTURE,
    method: str = "POST",
    headers: dict[str, str] = KIND,
) -> tuple[int, str]:
    """Return a request's status and the answer."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=10)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_an_answer_is_the_network_s(served: str, digits: nnx.Network) -> None:
    image = nnx.load("digits").test.images[:1]
    status, said = ask(served, body=image.tobytes())
    answer = json.loads(said)
    assert status == 200
    expected = digits.predict_proba(image, backend="numpy")[0]
    assert answer["probabilities"] == pytest.approx(expected, abs=1e-5)
    x = image / 16
    assert [len(units) for units in answer["hidden"]] == [48, 24]
    activations = (lambda z: z * (z > 0)), np.tanh
    hidden = zip(answer["hidden"], digits.layers[:2], activations, strict=True)
    for units, layer, activation in hidden:
        x = activation(x @ layer.weight + layer.bias)
        np.testing.assert_allclose(units, x[0], atol=1e-5)


@pytest.mark.parametrize("maximum", [1, 1000])
@pytest.mark.parametrize("pixels", ["unit", "raw"])
def test_bytes_stand_for_pixels_that_are_none(
    serve: Callable[[nnx.Network], str],
    digits: nnx.Network,
    tmp_path: Path,
    maximum: int,
    pixels: str,
) -> None:
    """Of floats, and of numbers beyond a byte: 255 is fully lit, as in a file."""
    frame = digits.frame._replace(maximum=maximum)
    network = digits.replace(frame=frame, pixels=pixels)
    image = np.uint8(nnx.load("digits").test.images[0] * (255 / 16))
    Image.fromarray(image.reshape(8, 8)).save(tmp_path / "digit.png")
    picture = nnx.read_picture(tmp_path / "digit.png", network.frame)
    expected = network.predict_proba(picture.pixels[None], backend="numpy")[0]
    status, said = ask(serve(network), body=image.tobytes())
    assert status == 200
    assert json.loads(said)["probabilities"] == pytest.approx(expected, abs=1e-5)
    told = described(network, alone=True)
    assert told["frame"]["maximum"] == 255
    assert told["pixelScale"] * 255 == pytest.approx(network.pixel_range)


@pytest.mark.parametrize(
    ("status", "asked"),
    [
        (413, {"body": bytes(65)}),
        (413, {"body": bytes(10_000_000)}),
        (400, {"body": bytes(63)}),
        (400, {"body": b""}),
        (400, {"body": bytes(63) + b"\x11"}),
        (415, {"headers": {"Content-Type": "application/json"}}),
        (415, {"headers": {}}),
        (409, {"headers": KIND | {"X-Network": "another"}}),
        (404, {"path": "/nothing"}),
        (404, {"path": "/../../etc/passwd", "method": "GET", "body": None}),
        (405, {"method": "GET", "body": None}),
        (405, {"path": "/"}),
        (400, {"headers": KIND | {"Host": "evil.example"}}),
        (400, {"headers": {"Host": "evil.example"}, "method": "GET", "path": "/"}),
        (200, {"headers": KIND | {"Host": "localhost:1234"}}),
        (200, {"path": "/", "method": "GET", "body": None}),
    ],
)
def test_statuses(served: str, status: int, asked: dict) -> None:
    # A body that is refused in the middle may end the connection under the sender.
    try:
        got, said = ask(served, **asked)
    except (BrokenPipeError, ConnectionResetError):
        assert len(asked["body"]) > 1_000_000
    else:
        assert got == status
        assert "Traceback" not in said
    assert ask(served)[0] == 200


def test_what_is_no_http(served: str) -> None:
    host, port = urlsplit(served).netloc.split(":")
    for sent in b"\x16\x03\x01 no HTTP\r\n\r\n", b"GET / HTTP/1.1\r\n", b"":
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(sent)
    assert ask(served)[0] == 200


def resident() -> int:
    """Return the bytes of memory that this process has."""
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmRSS:\s*(\d+) kB", status)
    assert found
    return int(found[1]) * 1024


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="memory is read from /proc"
)
def test_many_at_once_and_memory_is_flat(served: str) -> None:
    def many() -> set[int]:
        with ThreadPoolExecutor(200) as threads:
            return {status for status, _ in threads.map(ask, [served] * 300)}

    assert many() == {200}
    before = resident()
    for _ in range(2):
        assert many() == {200}
    assert resident() - before < 20_000_000


def test_an_answer_takes_under_20_ms(served: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(served).netloc, timeout=10)
    seconds = []
    for _ in range(30):
        began = time.perf_counter()
        connection.request("POST", "/answer", PICTURE, KIND)
        assert connection.getresponse().read()
        seconds.append(time.perf_counter() - began)
    connection.close()
    assert np.median(seconds) < 0.02


def test_a_policy_that_lets_nothing_else_in(served: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(served).netloc, timeout=10)
    connection.request("GET", "/")
    response = connection.getresponse()
    html, policy = response.read().decode(), response.headers["Content-Security-Policy"]
    connection.close()
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["connect-src"] == "'self'"
    assert {name for name, allowed in rules.items() if allowed == "'none'"} == {
        "default-src", "base-uri", "form-action", "frame-ancestors",
    }  # fmt: skip
    assert not re.findall(r"(?:https?:)?//\w+\.\w+", html)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("POST", "/answer"), ("POST", "/answer?refused")]
)
def test_headers_that_keep_it_from_others(served: str, method: str, path: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(served).netloc, timeout=10)
    connection.request(method, path, PICTURE, {} if "?" in path else KIND)
    response = connection.getresponse()
    assert response.status == (415 if "?" in path else 200)
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "Server" not in response.headers
    connection.close()


def test_classes_of_any_name_stay_data() -> None:
    evil = "</script><script>alert(1)</script>", "{{script}}"
    network = nnx.Network([16, 4, 2]).replace(classes=evil)
    html, policy, _ = page(network, alone=True)
    assert "connect-src 'none'" in policy
    plain = network.replace(classes=("a", "b"))
    assert page(plain, alone=False).key != page(network, alone=False).key
    assert "layers" not in described(network, alone=False)
    assert html.count("<script>") == html.count("</script>") - 1 == 1
    data = re.search(r'id="data">(.*?)</script>', html, re.S)
    assert data
    assert json.loads(data[1])["classes"] == list(evil)


def test_weights_that_no_float16_holds() -> None:
    network = nnx.Network([16, 4, 3, 2], seed=0)
    network.layers[0].weight[:2, 0] = 3e38
    network.layers[1].weight[:] = -np.eye(4, 3) * 1e30
    network.layers[2].weight[:] = 0
    assert "Infinity" not in page(network, alone=True).html
    packed = described(network, alone=True)["layers"]
    for layer, known in zip(network.layers, packed, strict=True):
        halves = np.frombuffer(base64.b64decode(known["weight"]), "<f2")
        weight = halves.astype(float).reshape(layer.weight.shape) * known["scale"]
        most = np.abs(layer.weight).max()
        np.testing.assert_allclose(weight, layer.weight, rtol=1e-3, atol=most * 1e-7)
    with np.errstate(all="ignore"):
        said = answer(network, np.full(16, 255, np.uint8))
    assert np.isfinite([*said["probabilities"], *said["hidden"][0]]).all()


def test_every_activation_is_in_the_script() -> None:
    script = (ASSETS / "network.js").read_text("utf-8")
    table = re.search(r"const ACTIVATIONS = {\n(.*?)\n};", script, re.S)
    assert table
    assert set(re.findall(r"^  (\w+)", table[1], re.M)) == set(ACTIVATIONS)


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("127.0.0.1", "http://127.0.0.1:80/"),
        ("::1", "http://[::1]:80/"),
        (
            "::",
            f"http://[::1]:80/, on other machines http://{socket.gethostname()}:80/",
        ),
    ],
)
def test_an_address_for_a_browser(host: str, said: str) -> None:
    opened: Any = SimpleNamespace(getsockname=lambda: (host, 80, 0, 0))
    assert listen.addresses(opened) == said


@pytest.mark.parametrize(("system", "shares"), [("posix", True), ("nt", False)])
def test_a_port_in_use_is_not_shared_on_windows(
    system: str, shares: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There the option that a server started again needs elsewhere would do that."""
    monkeypatch.setattr(listen, "os", SimpleNamespace(name=system))
    with listen.listening("127.0.0.1", 0) as opened:
        option = opened.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        assert bool(option) == shares
