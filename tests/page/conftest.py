"""A trained network, its page served and exported, and a browser to draw with."""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import nnx
from nnx.page import listen
from nnx.page.app import LOCAL, app
from nnx.page.render import page as rendered

# As root and in a container there is no sandbox; the rest keeps Chromium off the
# network, of which it has much to ask.
SWITCHES = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
BROWSERS = "chromium", "chromium-browser", "google-chrome"


@pytest.fixture(scope="session")
def digits() -> nnx.Network:
    """A network that reads 8x8 digits, with outputs below zero in its second layer."""
    network = nnx.Network([64, 48, 24, 10], activation="relu,tanh", seed=0)
    how: dict[str, Any] = {"epochs": 20, "learning_rate": 0.1, "backend": "numpy"}
    return nnx.train(network, nnx.load("digits"), **how).network


@pytest.fixture(scope="session")
def serve() -> Iterator[Callable[[nnx.Network], str]]:
    """Serve a network's page in a thread; return its address."""
    import uvicorn

    started = []

    def serve(network: nnx.Network) -> str:
        opened = listen.listening("127.0.0.1", 0)
        config = listen.config(app(network, hosts=LOCAL))
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([opened],), daemon=True)
        thread.start()
        started.append((server, thread))
        while not server.started:
            time.sleep(0.01)
        return listen.addresses(opened)

    yield serve
    for server, thread in started:
        server.should_exit = server.force_exit = True
        thread.join(10)


@pytest.fixture(scope="session")
def served(digits: nnx.Network, serve: Callable[[nnx.Network], str]) -> str:
    return serve(digits)


@pytest.fixture(scope="session")
def exported(digits: nnx.Network, tmp_path_factory: pytest.TempPathFactory) -> str:
    file: Path = tmp_path_factory.mktemp("exported") / "page.html"
    file.write_text(rendered(digits, alone=True).html, "utf-8")
    return file.as_uri()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    driver = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: it is in [dev]"
    )
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("there is no Chromium to draw in: apt-get install chromium")
    home = tmp_path_factory.mktemp("browser")
    environment = os.environ | {"HOME": str(home)}
    with driver.sync_playwright() as play:
        chromium = play.chromium.launch(
            executable_path=found, args=SWITCHES, env=environment
        )
        yield chromium
        chromium.close()
