"""The one-file report tells the run's results, and needs no other file."""

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import nnx
from nnx.data.dataset import Dataset
from nnx.network import Network
from nnx.report.document import WORDS, document
from nnx.report.write import write
from nnx.settings import complete
from nnx.training.evaluate import Evaluation
from nnx.training.folder import OF_CLASSES, PICTURES
from nnx.training.log import Row


class _Read(HTMLParser):
    """A page's tags, their attributes and its text; what is not closed is refused."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def data() -> Dataset:
    return nnx.load("digits")


@pytest.fixture(scope="module")
def result(data: Dataset) -> nnx.Result:
    network = Network([64, 20, 10], seed=0)
    return nnx.train(network, data, epochs=3, backend="numpy")


def _page(
    folder: Path, data: Dataset, network: Network, log: tuple[Row, ...], kind: str
) -> _Read:
    settings = complete(
        {"dataset": data.name, "epochs": 3, "seed": 5, "class_weights": {"3": 2.0}}
    )
    scores = nnx.evaluate(network, data)
    *_, page = write(folder, kind, network, data, settings, log, scores)
    return _Read(page.read_text("utf-8"))


@pytest.mark.parametrize("patience", [0, 2])
def test_validation_of_the_weights_that_were_kept(
    data: Dataset, result: nnx.Result, patience: int
) -> None:
    """Without patience they are those of the last epoch, however good another was."""
    shares = (0.5, 0.75), (0.25, 0.9), (0.3, 0.8)
    log = [
        row._replace(validation_loss=loss, validation_score=score)
        for row, (loss, score) in zip(result.log, shares, strict=True)
    ]
    settings = complete({"validation_fraction": 0.1, "patience": patience})
    test = Evaluation(0.4, 0.7, "accuracy", 9)
    content = document(result.network, "digits", settings, log, test, [])
    text = _Read(content.decode()).text
    other = "best validation accuracy90.00 %, in epoch 2; its weights were not kept"
    if patience:
        assert "validation accuracy90.00 %, loss 0.2500 nats, in epoch 2" in text
        assert "best validation" not in text
    else:
        assert "validation accuracy80.00 %, loss 0.3000 nats, in epoch 3" in text
        assert other in text


def test_every_picture_is_described_and_offered_to_notebooks() -> None:
    """Where one has no words, no report is written."""
    for missing in ({*PICTURES} - {*WORDS}, {*PICTURES} - {*nnx.plots.__all__}):
        assert not missing, f"no WORDS in document.py, or not in plots.py: {missing}"


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_a_report(tmp_path: Path, data: Dataset, result: nnx.Result, kind: str) -> None:
    page = _page(tmp_path, data, result.network, result.log, kind)
    sources = [value for tag, name, value in page.attributes if name == "src"]
    assert len(sources) == len(OF_CLASSES)
    assert all(source.startswith("data:image/") for source in sources)
    assert all(value for tag, name, value in page.attributes if name == "alt")
    assert not [value for _, name, value in page.attributes if name == "href"]
    score = f"{100 * result.test_accuracy:.2f} %"
    assert f"{score}, loss {result.test_loss:.4f}" in page.text
    assert f"{result.log[2].train_score:.4f}" in page.text
    chosen = page.text.index("Settings of this run"), page.text.index("Settings left")
    for own in "seed5", "class_weights3=2":
        assert chosen[0] < page.text.index(own) < chosen[1]
    assert page.text.index("momentum0") > chosen[1]
    assert f"numpy{np.__version__}" in page.text
    assert {file.name for file in tmp_path.iterdir()} == {
        "report.html", *(f"{name}.{kind}" for name in OF_CLASSES),
    }  # fmt: skip


def test_a_data_set_s_name_is_text(
    tmp_path: Path, data: Dataset, result: nnx.Result
) -> None:
    name = "<script>alert(1)</script> & ünï"
    page = _page(tmp_path, data._replace(name=name), result.network, result.log, "png")
    assert page.text.count(name) == 3  # in two titles, and among the settings
    assert "script" not in [tag for tag, *_ in page.attributes]


def test_a_run_without_an_epoch(
    tmp_path: Path, data: Dataset, result: nnx.Result
) -> None:
    page = _page(tmp_path, data, result.network, (), "png")
    assert "Epoch by epoch" not in page.text
    assert "test accuracy" in page.text


def test_figures_in_a_notebook(data: Dataset, result: nnx.Result) -> None:
    shares = result.network.predict_proba(data.test.images)
    labels, predicted = data.test.labels, shares.argmax(axis=1)
    for figure in (
        nnx.plots.curves(result.log),
        nnx.plots.compared({"one": result.log}),
        nnx.plots.confusion(labels, predicted, data.classes),
        nnx.plots.weights(result.network),
        nnx.plots.activations(result.network, data.test.images),
        nnx.plots.mistakes(result.network, data.test, shares),
        nnx.plots.samples(result.network, data.test, shares),
    ):
        assert figure._repr_png_().startswith(b"\x89PNG")
    linear = Network([64, 10])
    with pytest.raises(nnx.NnxError, match="hidden"):
        nnx.plots.activations(linear, data.test.images)
