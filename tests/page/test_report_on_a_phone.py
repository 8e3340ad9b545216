"""The report of a run in a browser: its tables can be read on a telephone too."""

from pathlib import Path
from typing import Any

import pytest
from drawing import Watched

import nnx
from nnx.report.document import document
from nnx.settings import complete


@pytest.mark.parametrize("width", [390, 320])
def test_no_word_is_taken_apart(browser: Any, tmp_path: Path, width: int) -> None:
    network, data = nnx.Network([64, 8, 10], seed=0), nnx.load("digits")
    result = nnx.train(network, data, epochs=2, backend="numpy")
    settings = complete({"dataset": "digits", "epochs": 2})
    test = nnx.evaluate(result.network, data)
    file = tmp_path / "report.html"
    page = document(network, "digits", settings, result.log, test, [])
    file.write_bytes(page)
    viewport = {"width": width, "height": 800}
    with Watched(browser, file.as_uri(), viewport=viewport) as watched:
        assert watched.page.evaluate("document.documentElement.scrollWidth") == width
        results, epochs = watched.page.locator("table").all()[:2]
        assert results.evaluate("(table) => table.scrollWidth") <= width - 32
        # "88.61 %, loss 0.3965 nats (running mean)" is of four lines at most.
        heights = [one.bounding_box()["height"] for one in results.locator("td").all()]
        assert max(heights) < 110
        heights = [one.bounding_box()["height"] for one in epochs.locator("td").all()]
        assert max(heights) < 40
