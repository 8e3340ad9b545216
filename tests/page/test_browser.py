"""Both pages in a real browser: drawn on, cleared, and asked for what they saw."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawing import ONE, SEVEN, Watched
from PIL import Image

import nnx
from nnx.data.picture import read
from nnx.maths.activations import ACTIVATIONS
from nnx.page.render import page as rendered

# Float16 has eleven bits; probabilities are compared.
ROUNDED = 1e-2


@pytest.fixture(params=["served", "exported"])
def address(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


def same_as_predict(
    watched: Watched, images: np.ndarray, network: nnx.Network, folder: Path
) -> tuple[int, int]:
    """Return how many pictures are prepared to the same bytes, and classed alike."""
    side = watched.page.evaluate("board.canvas.width")
    factor = side // images.shape[2]
    found = watched.replayed(images, factor)
    bytes_alike = classes_alike = 0
    for image, (pixels, name) in zip(images, found, strict=True):
        file = folder / "drawn.png"
        enlarged = np.kron(image, np.ones((factor, factor), np.uint8))
        Image.fromarray(enlarged).save(file, compress_level=1)
        picture = read(file, network.frame).pixels
        levels = picture * (255 if picture.dtype == np.float32 else 1)
        bytes_alike += np.rint(levels).ravel().tolist() == pixels
        label = network.predict(picture[None], backend="numpy")[0]
        classes_alike += network.classes[label] == name
    return bytes_alike, classes_alike


def test_a_drawing_is_read_and_cleared(browser: Any, address: str) -> None:
    with Watched(browser, address) as watched:
        page = watched.page
        assert watched.best() == "?"
        assert page.is_disabled("#clear")
        for strokes, name in (ONE, "1"), (SEVEN, "7"):
            watched.draw(strokes)
            assert watched.best() == name
            most = page.locator("#bars .most")
            assert most.locator(".name").inner_text() == name
            assert most.locator(".share").inner_text().endswith("%")
            watched.until(f"$('spoken').textContent.includes('for {name},')")
            page.click("#clear")
            watched.settle()
            assert watched.best() == "?"
            assert not page.evaluate("board.grey().some((level) => level)")
        page.click("#undo")
        watched.settle()
        assert watched.best() == "7"
        assert watched.troubles == []
        assert {url.rstrip("/").removesuffix("answer") for url in watched.requests} <= {
            address,
            address.rstrip("/"),
        }


def test_both_pages_give_what_the_network_does(
    browser: Any, served: str, exported: str, digits: nnx.Network
) -> None:
    answers = []
    for address in served, exported:
        with Watched(browser, address) as watched:
            watched.draw(SEVEN)
            answers.append(watched.answer())
    by_server, by_page = answers
    pixels = np.array(by_server["pixels"], np.uint8)
    assert by_page["pixels"] == by_server["pixels"]
    assert {*by_page["of"]} == {*by_server["of"]}
    expected = digits.predict_proba(pixels[None], backend="numpy")[0]
    assert by_server["probabilities"] == pytest.approx(expected, abs=1e-5)
    assert by_page["probabilities"] == pytest.approx(expected, abs=ROUNDED)
    assert [len(units) for units in by_page["hidden"]] == [48, 24]
    for own, other in zip(by_page["hidden"], by_server["hidden"], strict=True):
        assert own == pytest.approx(other, abs=ROUNDED * np.abs(other).max())


def test_by_keyboard_alone(browser: Any, exported: str) -> None:
    with Watched(browser, exported) as watched:
        page, press = watched.page, watched.page.keyboard.press
        press("Tab")
        assert page.evaluate("document.activeElement.id") == "board"
        assert page.is_visible("#cursor")
        press("Space")
        for _ in range(14):
            press("ArrowDown")
        press("Space")
        watched.settle()
        drawn = page.evaluate("board.grey().reduce((sum, level) => sum + level, 0)")
        assert drawn > 0
        assert watched.best() == "1"
        press("Escape")
        watched.settle()
        assert watched.best() == "?"
        press("Backspace")
        watched.settle()
        assert watched.best() == "1"
        # The buttons are reached, and work, by keyboard too.
        press("Tab")
        press("Tab")
        assert page.evaluate("document.activeElement.id") == "clear"
        press("Enter")
        watched.settle()
        assert watched.best() == "?"
        assert watched.troubles == []


@pytest.mark.parametrize("key", ["Escape", "Backspace"])
def test_what_is_undone_while_it_is_drawn_stays_undone(
    browser: Any, exported: str, key: str
) -> None:
    """The rest of its stroke would join the stroke before, or have none to join."""
    with Watched(browser, exported) as watched:
        watched.draw(ONE)
        before = watched.answer()["pixels"]
        page, box = watched.page, watched.page.locator("#board").bounding_box()
        across, down = (box["x"], box["width"]), (box["y"], box["height"])
        for i, share in enumerate((0.2, 0.5, 0.8)):
            page.mouse.move(*(start + share * side for start, side in (across, down)))
            if i == 0:
                page.mouse.down()
            if i == 1:
                page.keyboard.press(key)
        page.mouse.up()
        watched.settle()
        assert watched.troubles == []
        if key == "Escape":
            assert watched.best() == "?"
        else:
            assert watched.answer()["pixels"] == before
        watched.draw(SEVEN)
        assert watched.best() != "?"


def test_a_finger_draws(browser: Any, exported: str) -> None:
    options = {"viewport": {"width": 390, "height": 844}, "has_touch": True}
    with Watched(browser, exported, **options) as watched:
        watched.page.locator("#board").tap()
        watched.settle()
        assert watched.best() != "?"
        # Nothing is wider than the screen.
        assert watched.page.evaluate("document.documentElement.scrollWidth") == 390


def test_a_server_that_went_away(browser: Any, digits: nnx.Network) -> None:
    with Watched(browser, "about:blank") as watched:
        page = watched.page
        html = rendered(digits, alone=False).html
        page.route("http://digits.test/", lambda route: route.fulfill(
            body=html, content_type="text/html"
        ))  # fmt: skip
        page.route("http://digits.test/answer", lambda route: route.abort())
        page.goto("http://digits.test/")
        watched.draw(ONE)
        assert "is nnx serve still running" in page.inner_text("#trouble")


def test_a_server_that_does_not_answer(browser: Any, served: str) -> None:
    """It was stopped by Ctrl-Z, or the machine is asleep."""
    with Watched(browser, "about:blank") as watched:
        at_once = "AbortSignal.timeout = () => AbortSignal.abort()"
        watched.page.add_init_script(at_once)
        watched.page.goto(served)
        watched.draw(ONE)
        assert "is nnx serve still running" in watched.page.inner_text("#trouble")


def test_a_server_that_has_another_network_by_now(
    browser: Any, digits: nnx.Network, served: str
) -> None:
    """Its answers would get the names of the former one's classes."""
    former = rendered(digits.replace(classes=tuple("abcdefghij")), alone=False).html
    with Watched(browser, "about:blank") as watched:
        page = watched.page
        page.route(served, times=1, handler=lambda route: route.fulfill(
            body=former, content_type="text/html"
        ))  # fmt: skip
        page.goto(served)
        assert page.inner_text("#title") == "Draw one of 10 classes"
        with page.expect_navigation():
            page.locator("#board").click()
        assert page.inner_text("#title") == "Draw a digit"


def test_activations_are_those_of_the_maths(browser: Any, exported: str) -> None:
    z = np.array([-1000.0, -20, -3, -0.5, 0, 1e-4, 0.7, 4, 30, 1000])
    with Watched(browser, exported) as watched:
        names = watched.page.evaluate("Object.keys(ACTIVATIONS)")
        assert set(names) == set(ACTIVATIONS)
        for name in names:
            code = f"(z) => z.map((x) => ACTIVATIONS.{name}(x))"
            got = watched.page.evaluate(code, z.tolist())
            np.testing.assert_allclose(
                got, ACTIVATIONS[name].forward(z, xp=np), rtol=1e-12, atol=1e-12
            )


def test_digits_are_prepared_to_the_same_bytes(
    browser: Any, exported: str, digits: nnx.Network, tmp_path: Path
) -> None:
    images = nnx.load("digits").test.images[:30].reshape(-1, 8, 8)
    levels = np.uint8(images * (255 / 16))
    with Watched(browser, exported) as watched:
        assert same_as_predict(watched, levels, digits, tmp_path) == (30, 30)


@pytest.mark.parametrize("maximum", [1, 1000])
def test_digits_whose_pixels_are_no_bytes(
    browser: Any,
    serve: Callable[[nnx.Network], str],
    exported: str,
    digits: nnx.Network,
    tmp_path: Path,
    maximum: int,
) -> None:
    """Networks that only call the brightest pixel otherwise take all of them alike."""
    network = digits.replace(frame=digits.frame._replace(maximum=maximum))
    alone = tmp_path / "page.html"
    alone.write_text(rendered(network, alone=True).html, "utf-8")
    images = nnx.load("digits").test.images[:8].reshape(-1, 8, 8)
    levels = np.uint8(images * (255 / 16))
    found = []
    for address in exported, serve(network), alone.as_uri():
        with Watched(browser, address) as watched:
            factor = watched.page.evaluate("board.canvas.width") // 8
            found.append([name for _, name in watched.replayed(levels, factor)])
            if address != exported:
                assert same_as_predict(watched, levels, network, tmp_path) == (8, 8)
    assert found[1] == found[0]
    assert found[2] == found[0]


@pytest.mark.sweep
def test_mnist(
    browser: Any, serve: Callable[[nnx.Network], str], tmp_path: Path
) -> None:
    if not os.environ.get("NNX_DATA_DIR"):
        pytest.skip("NNX_DATA_DIR names no folder that has MNIST")
    try:
        data = nnx.load("mnist", os.environ["NNX_DATA_DIR"])
    except nnx.NnxError as error:
        pytest.skip(f"MNIST is not there: {error}")
    network = nnx.Network([784, 64, 10], seed=0)
    network = nnx.train(network, data, epochs=2, backend="numpy").network
    images = data.test.images[:500].reshape(-1, 28, 28)
    with Watched(browser, serve(network)) as watched:
        for strokes, name in (ONE, "1"), (SEVEN, "7"):
            watched.draw(strokes)
            assert watched.best() == name
            watched.page.click("#clear")
        assert same_as_predict(watched, images, network, tmp_path) == (500, 500)
        assert watched.troubles == []
