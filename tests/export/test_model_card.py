"""The model card: metadata that hubs read, and what a reader is told."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import nnx
from nnx.data.dataset import Dataset, Target
from nnx.errors import InputError
from nnx.network import Network
from nnx.settings import complete


def _front(text: str) -> dict[str, str]:
    """Return each scalar of the metadata, by the last word before its colon."""
    head = text.split("---\n")[1]
    pairs = re.findall(r"^[ -]*([\w-]+): (.+)$", head, re.M)
    return {
        name: json.loads(value) if value.startswith('"') else value
        for name, value in pairs
    }


def test_a_classification(data: Dataset, tmp_path: Path) -> None:
    seen = data.test._replace(labels=np.maximum(data.test.labels, 1))  # no "yes"
    odd = data._replace(
        test=seen, name='a: "b" #\n---\n|<', classes=("yes", "|", "<b>")
    )
    network = Network([25, 3]).replace(classes=odd.classes, frame=odd.frame)
    names = "dataset", "test_data", "validation_data", "data_dir"
    settings = complete(dict.fromkeys(names, "/home/me/secret.csv"))
    nnx.export.card(network, tmp_path / "README.md", odd, {**settings})
    text = (tmp_path / "README.md").read_text("utf-8")
    assert text.startswith("---\nlibrary_name: nnx-mlp\npipeline_tag: image-classifi")
    front, found = _front(text), nnx.evaluate(network, odd)
    accuracy = found.accuracy
    assert front["value"] == f"{accuracy:.6g}"
    assert front["split"] == "test"
    assert front["type"] == "accuracy"
    assert f"**{100 * accuracy:.2f} %**" in text
    assert "On the 60 test images of" in text
    assert ": 60 images to test." in text  # and no word of others' training
    assert 'dataset = "secret.csv"' in text
    assert "/home/me" not in text
    assert text.count("\n---\n") == 1
    shares = [f"{100 * of[1]:.2f} %" for of in (found.precision, found.recall)]
    assert f"| \\| | {' | '.join(shares)} | 40 |" in text
    assert "Of \\<b>, the class it finds worst, it finds 0.00 %." in text
    assert "It sees one small picture" in text
    nnx.export.card(network, tmp_path / "README.md", odd)
    assert "## Training" not in (tmp_path / "README.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({}, True),
        ({"validation_fraction": 0.1}, False),
        ({"validation_data": "/home/me/chosen-by.csv"}, False),
    ],
)
def test_what_settings_were_chosen_by(
    data: Dataset, tmp_path: Path, chosen: dict[str, str | float], said: bool
) -> None:
    """A validation set is held out, or a table of its own."""
    network = Network([25, 3]).replace(classes=data.classes, frame=data.frame)
    nnx.export.card(network, tmp_path / "README.md", data, complete(chosen))
    text = (tmp_path / "README.md").read_text("utf-8")
    assert ("No validation set was held out" in text) == said


def test_of_rows_that_it_was_trained_on(data: Dataset, tmp_path: Path) -> None:
    """Fewer than ten rows are trained and tested on."""
    few = nnx.dataset(data.test.images[:9], data.test.labels[:9] % 2)
    network = Network([25, 2]).replace(classes=few.classes, frame=few.frame)
    same = "The test images are those that it was trained on: the score above"
    for own, source, said in (
        (few, few.source, True),
        (few._replace(test=data.test), few.source, False),
        (few, "other.csv", False),
    ):
        labels = own.test.labels % 2
        own = own._replace(test=own.test._replace(labels=labels))
        settings = complete({"dataset": source})
        nnx.export.card(network, tmp_path / "README.md", own, settings)
        text = (tmp_path / "README.md").read_text("utf-8")
        assert (same in text) == said
        assert (": 9 images to train on and " in text) == (source == few.source)


def test_a_regression(data: Dataset, tmp_path: Path) -> None:
    targets = (Target("price", 10.0, 3.0),)
    values = data.test.labels[:, None].astype("float32")
    part = data.test._replace(labels=values)
    own = data._replace(
        train=part, test=part, task="regression", classes=(), targets=targets
    )
    network = Network([25, 1]).replace(
        task="regression", classes=(), targets=targets, frame=data.frame
    )
    nnx.export.card(network, tmp_path / "card.md", own)
    text = (tmp_path / "card.md").read_text("utf-8")
    assert _front(text)["pipeline_tag"] == "tabular-regression"
    found = nnx.evaluate(network, own, huber_delta=0.01)
    nnx.export.card(network, tmp_path / "card.md", own, {"huber_delta": 0.01})
    assert f"loss {found.loss:.4f}." in (tmp_path / "card.md").read_text("utf-8")
    assert f"loss {found.loss:.4f}." not in text
    assert _front(text)["type"] == "r_squared"
    assert "| price | " in text
    assert "network.predict(pixels)" in text


def test_a_table(tmp_path: Path) -> None:
    table = tmp_path / "my_shop.csv"
    rows = ("1,red,no", "2,blue,no", "3,red,yes", "5,blue,yes") * 5
    table.write_text("\n".join(["size,a_colour,sold", *rows]))
    data = nnx.load(table, target="sold")
    named = {name: getattr(data, name) for name in ("classes", "frame", "columns")}
    network = Network([3, 2]).replace(**named)
    nnx.export.card(network, tmp_path / "README.md", data)
    text = (tmp_path / "README.md").read_text("utf-8")
    assert _front(text)["pipeline_tag"] == "tabular-classification"
    assert "nnx predict model.safetensors table.csv" in text
    assert "network.predict_proba(frame)" in text
    assert "Columns: size, a\\_colour. Classes: no, yes." in text
    assert "picture" not in text


def test_features_that_are_no_picture_and_many_classes(tmp_path: Path) -> None:
    features, labels = np.eye(600, 3, dtype=np.uint8), np.arange(600) % 60
    data = nnx.dataset(features, labels, task="classification")
    network = Network([3, 60]).replace(classes=data.classes, frame=data.frame)
    nnx.export.card(network, tmp_path / "README.md", data)
    text = (tmp_path / "README.md").read_text("utf-8")
    assert _front(text)["pipeline_tag"] == "tabular-classification"
    assert "3 features from 0 to 1." in text
    assert "Classes: 0, 1," in text
    assert "48, 49, …." in text
    assert "| class |" not in text


@pytest.mark.parametrize("own", ["# My project\n", "---\nlibrary_name: mine\n---\n"])
def test_another_readme_is_left_alone(own: str, data: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(own)
    network = Network([25, 3]).replace(classes=data.classes, frame=data.frame)
    with pytest.raises(
        InputError, match=r"README.md: is not a model card of nnx; choose"
    ):
        nnx.export.card(network, path, data)
    assert path.read_text() == own
