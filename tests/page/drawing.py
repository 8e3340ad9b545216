"""Drawing on the page with the mouse, and reading what the page says."""

import time
from typing import Any

import numpy as np

Points = list[tuple[float, float]]
# In parts of the board.
ONE = [[(0.36, 0.34), (0.54, 0.14), (0.54, 0.86)]]
SEVEN = [[(0.25, 0.17), (0.75, 0.17), (0.62, 0.42), (0.5, 0.63), (0.43, 0.86)]]


class Watched:
    """A page that is open, with what its console and its network saw."""

    def __init__(self, browser: Any, address: str, **options: Any) -> None:
        self.page = browser.new_page(**options)
        self.troubles: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda said: self.troubles.append(said.text))
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(address)

    def __enter__(self) -> "Watched":
        return self

    def __exit__(self, *error: object) -> None:
        self.page.close()

    def draw(self, strokes: list[Points]) -> None:
        """Draw strokes with the mouse, and wait until they are answered."""
        box = self.page.locator("#board").bounding_box()
        for stroke in strokes:
            for i, (x, y) in enumerate(stroke):
                place = box["x"] + x * box["width"], box["y"] + y * box["height"]
                self.page.mouse.move(*place, steps=2)
                if i == 0:
                    self.page.mouse.down()
            self.page.mouse.up()
        self.settle()

    def settle(self) -> None:
        """Wait until what is drawn is answered."""
        self.until("!asked && !again && !latest")

    def until(self, condition: str) -> None:
        """Wait for a condition; the page's policy lets no driver evaluate in it."""
        end = time.monotonic() + 5
        while not self.page.evaluate(condition):
            assert time.monotonic() < end, condition
            time.sleep(0.02)

    def best(self) -> str:
        return str(self.page.inner_text("#best"))

    def answer(self) -> dict[str, Any]:
        """Return what is shown, and the names of what an answer has."""
        code = """() => ({pixels: [...shown.pixels], of: Object.keys(shown.answer),
            probabilities: [...shown.answer.probabilities],
            hidden: shown.answer.hidden.map((outputs) => [...outputs])})"""
        return dict(self.page.evaluate(code))

    def replayed(self, images: np.ndarray, factor: int) -> list[tuple[Any, str]]:
        """Return, of pictures enlarged to the board, the prepared pixels and class.

        images: (n, height, width) uint8
        """
        code = """async ([images, factor]) => {
            const pen = board.canvas.getContext("2d");
            const { width, height } = board.canvas;
            const found = [];
            for (const image of images) {
                const whole = new ImageData(width, height);
                for (let i = 0; i < width * height; i++) {
                    const y = Math.floor(Math.floor(i / width) / factor);
                    const x = Math.floor((i % width) / factor);
                    whole.data[4 * i + 3] = image[y][x];
                }
                pen.putImageData(whole, 0, 0);
                const { pixels } = prepare(board.grey(), width, height, frame);
                const { probabilities } = await answerOf(pixels);
                found.push([[...pixels], classes[ranked(probabilities)[0]]]);
            }
            return found;
        }"""
        return list(self.page.evaluate(code, [images.tolist(), factor]))
