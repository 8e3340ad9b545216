"""Draw on a run's page in Chromium, and save a screenshot as a PNG file.

python docs/screenshots.py RUN FILE [light|dark]
"""

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from nnx.network import Network
from nnx.page.render import page as rendered

SIZE = {"width": 900, "height": 600}
# A four that is nearly closed, as written in a hurry, in fractions of the board.
STROKES = (
    ((0.49, 0.20), (0.43, 0.20), (0.35, 0.25), (0.34, 0.34), (0.33, 0.43), (0.35, 0.50),
     (0.42, 0.53), (0.50, 0.53), (0.68, 0.51)),
    ((0.67, 0.22), (0.64, 0.32), (0.61, 0.48), (0.58, 0.66), (0.55, 0.86)),
)  # fmt: skip


def draw(page: Page) -> None:
    """Draw the strokes with the mouse, and wait until the bars stop moving."""
    box = page.locator("#board").bounding_box()
    assert box is not None
    for stroke in STROKES:
        for i, (x, y) in enumerate(stroke):
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
            if i == 0:
                page.mouse.down()
        page.mouse.up()
    page.wait_for_timeout(500)


def main(run: str, file: str, theme: str = "light") -> None:
    """Save a screenshot of the page of a run."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        html = Path(folder) / "page.html"
        html.write_text(rendered(Network.load(run), alone=True).html, "utf-8")
        browser = play.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport=SIZE, color_scheme=theme)
        page.goto(html.as_uri())
        draw(page)
        page.screenshot(path=file, full_page=True)
        browser.close()


main(*sys.argv[1:])
