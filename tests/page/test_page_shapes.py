"""The page has room for long names, tall pictures and layers of one unit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drawing import SEVEN, Watched

import nnx
from nnx.data.dataset import Frame
from nnx.page.render import page as rendered

NUMBERS = [str(i) for i in range(40)]
CAPITALS = [f"MAXIMUM {i}" for i in range(12)]
LONG = [f"a class of pictures with long name {i}" for i in range(30)]
UNBROKEN = ["x" * 60, *LONG]


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Callable[..., Watched]:
    """Open the page of a network that has learnt nothing."""

    def opened(
        frame: Frame, classes: list[str], width: int = 900, hidden: int = 8
    ) -> Watched:
        network = nnx.Network([frame.height * frame.width, hidden, len(classes)])
        network = network.replace(frame=frame, classes=tuple(classes))
        file = tmp_path / "page.html"
        file.write_text(rendered(network, alone=True).html, "utf-8")
        viewport = {"width": width, "height": 700}
        return Watched(browser, file.as_uri(), viewport=viewport)

    return opened


def box_of(watched: Watched, what: str) -> dict[str, float]:
    return dict(watched.page.locator(what).bounding_box())


@pytest.mark.parametrize("width", [900, 390, 320])
@pytest.mark.parametrize("classes", [NUMBERS, CAPITALS, LONG, UNBROKEN])
def test_names_have_room(
    opened: Callable[..., Watched], classes: list[str], width: int
) -> None:
    with opened(Frame(8, 8, 255, 8), classes, width) as watched:
        watched.draw(SEVEN)
        assert watched.page.evaluate("document.documentElement.scrollWidth") == width
        bars, card = box_of(watched, "#bars"), box_of(watched, ".answer")
        assert bars["y"] + bars["height"] <= card["y"] + card["height"]
        lowest = box_of(watched, "#bars li:last-child")
        assert lowest["y"] + lowest["height"] <= bars["y"] + bars["height"] + 1
        names = watched.page.locator("#bars .name")
        # In one line each, but for long ones on a telephone.
        highest = max(one.bounding_box()["height"] for one in names.all())
        is_short = classes in (NUMBERS, CAPITALS) or (width == 900 and classes is LONG)
        assert highest < (24 if is_short else 75)


def test_a_tall_board_is_no_higher_than_a_screen_and_is_drawn_on_where_one_points(
    opened: Callable[..., Watched],
) -> None:
    with opened(Frame(40, 6, 255, 6), NUMBERS) as watched:
        page = watched.page
        assert page.evaluate("document.documentElement.scrollHeight") < 1200
        for what, off in ("#board", 0.01), ("#input", 0.1):
            box = box_of(watched, what)
            assert box["width"] / box["height"] == pytest.approx(6 / 40, rel=off)
        watched.draw([[(0.25, 0.75)]])
        code = """() => {
            const { width, height } = board.canvas;
            const rows = [], columns = [];
            board.grey().forEach((level, i) => level > 128 &&
              (rows.push(Math.floor(i / width)), columns.push(i % width)));
            const middle = (all) => (Math.min(...all) + Math.max(...all)) / 2;
            return [middle(columns) / width, middle(rows) / height];
        }"""
        assert page.evaluate(code) == pytest.approx([0.25, 0.75], abs=0.02)
        page.keyboard.press("ArrowDown")
        assert page.is_visible("#cursor")


def test_one_unit_is_one(opened: Callable[..., Watched]) -> None:
    with opened(Frame(8, 8, 255, 8), NUMBERS, hidden=1) as watched:
        assert watched.page.inner_text(".hidden figcaption") == "Hidden layer 1: 1 unit"
