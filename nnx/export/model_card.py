"""A model card: a network's description and results, in the form of model hubs."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nnx import __version__, files
from nnx.data.dataset import Dataset
from nnx.errors import InputError
from nnx.export.interface import described, input_spec
from nnx.model_file import MODEL_NAME
from nnx.network import Network
from nnx.settings import as_text
from nnx.training.evaluate import Evaluation, evaluate
from nnx.training.log import METRIC_NAMES
from nnx.training.scores import percent, quantity, samples, score_text

LIBRARY = "library_name: nnx-mlp"
METRIC_TYPES = {"accuracy": "accuracy", "r2": "r_squared"}
MOST_CLASSES = 50
FEW = 100  # images that tell whether two parts with the same labels are the same
PATHS = "dataset", "test_data", "validation_data"


def content(
    network: Network, data: Dataset, settings: Mapping[str, Any] | None = None
) -> bytes:
    """Return the card of a network, after testing it on data.

    settings: of the training, complete; None if unknown
    """
    delta = settings["huber_delta"] if settings else 0.0
    test = evaluate(network, data, huber_delta=delta)
    name = f"{data.name} {network}"
    sections = [
        _front(network, data, test, name),
        f"# {_cell(name)}\n\nA fully-connected network, trained by nnx {__version__}: "
        f"{described(network)}.",
        "## Results\n\n" + _results(network, data, test),
        "## How to use\n\n" + _use(network),
        "## Data\n\n" + _data(network, data, settings),
    ]
    if settings is not None:
        sections.append("## Training\n\n" + _training(settings))
    sections.append("## Limits\n\n" + _limits(network, data, test, settings))
    return ("\n\n".join(sections) + "\n").encode()


def check_replaceable(path: Path) -> None:
    """Refuse to replace a file that is not a card: it may be a project's README.md."""
    if not os.path.isfile(path):
        return
    with files.readable(path), open(path, "rb") as file:
        head = file.read(200)
    if not head.startswith(b"---\n" + LIBRARY.encode()):
        raise InputError(f"{path}: is not a model card of nnx; choose another name")


def _front(network: Network, data: Dataset, test: Evaluation, name: str) -> str:
    """Return the metadata, in YAML."""
    is_image = network.frame.box and not network.columns
    task = "tabular-classification"
    if network.task == "regression":
        task = "tabular-regression"  # hubs have no tag for regression on pictures
    elif is_image:
        task = "image-classification"
    return "\n".join(
        [
            "---",
            LIBRARY,
            f"pipeline_tag: {task}",
            "tags:",
            "- mlp",
            "- nnx",
            "model-index:",
            f"- name: {_quoted(name)}",
            "  results:",
            "  - task:",
            f"      type: {task}",
            "    dataset:",
            f"      name: {_quoted(data.name)}",
            f"      type: {_quoted(data.name)}",
            "      split: test",
            "    metrics:",
            f"    - type: {METRIC_TYPES[test.metric]}",
            f"      value: {test.score:.6g}",
            f"      name: test {METRIC_NAMES[test.metric]}",
            "---",
        ]
    )


def _quoted(text: str) -> str:
    """Return a text for YAML, in which JSON's strings are valid."""
    return json.dumps(text)


def _cell(text: str) -> str:
    """Return a text for a Markdown table, with special characters escaped."""
    plain = "".join(c if c.isprintable() else "�" for c in text)
    for letter in "\\|<`*_[":
        plain = plain.replace(letter, "\\" + letter)
    return plain


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _results(network: Network, data: Dataset, test: Evaluation) -> str:
    kind = samples(network.columns)
    lines = [
        f"On the {test.images:,} test {kind} of {_cell(data.name)}: "
        f"{METRIC_NAMES[test.metric]} **{score_text(test.score, test.metric)}**, "
        f"loss {test.loss:.4f}."
    ]
    if test.rmse is not None:
        names = [target.name for target in network.targets]
        rows = [
            [_cell(name), quantity(rmse)]
            for name, rmse in zip(names, test.rmse, strict=True)
        ]
        lines += [_table(["target", "root mean squared error"], rows)]
    elif len(network.classes) <= MOST_CLASSES:
        parts = test.precision, test.recall, test.counts[2]  # type: ignore[index]
        rows = [
            [_cell(name), percent(precision), percent(recall), f"{int(n):,}"]
            for name, precision, recall, n in zip(network.classes, *parts, strict=True)
        ]
        lines += [_table(["class", "precision", "recall", f"test {kind}"], rows)]
    return "\n\n".join(lines)


def _use(network: Network) -> str:
    command = f"nnx predict {MODEL_NAME} picture.png"
    argument, what = input_spec(network).name, f"(n, {network.sizes[0]})"
    if network.columns:
        command = f"nnx predict {MODEL_NAME} table.csv"
        argument, what = "frame", "a data frame, whose columns are told apart by name"
    given = "predict" if network.task == "regression" else "predict_proba"
    return (
        f"    pip install nnx-mlp\n    {command}\n\n```python\nimport nnx\n\n"
        f'network = nnx.Network.load("{MODEL_NAME}")\n'
        f"network.{given}({argument})  # {what}\n```\n\n"
        f"`nnx export {MODEL_NAME}` writes it as ONNX, as PyTorch's weights and as C."
    )


def _data(network: Network, data: Dataset, settings: Mapping[str, Any] | None) -> str:
    kind = samples(network.columns)
    rows = f"{len(data.test.images):,} {kind} to test"
    if settings is not None and settings["dataset"] == data.source:
        rows = f"{len(data.train.images):,} {kind} to train on and {rows}"
    if network.columns:
        columns = ", ".join(_cell(column.name) for column in network.columns)
        takes = f"Columns: {columns}."
    else:
        frame = network.frame
        takes = (
            f"Pictures of {frame.height} × {frame.width} pixels from 0 to "
            f"{frame.maximum}."
            if frame.box
            else f"{network.sizes[0]} features from 0 to {frame.maximum}."
        )
    if network.targets:
        what = "Targets: " + ", ".join(_cell(target.name) for target in network.targets)
    else:
        what = "Classes: " + ", ".join(map(_cell, network.classes[:MOST_CLASSES]))
        what += ", …" if len(network.classes) > MOST_CLASSES else ""
    return f"{_cell(data.name)}: {rows}. {takes} {what}."


def _training(settings: Mapping[str, Any]) -> str:
    """Return the settings as TOML, with file names instead of paths."""
    import tomli_w

    texts = as_text(settings)
    texts |= {name: Path(texts[name]).name for name in PATHS if texts.get(name)}
    texts.pop("data_dir", None)
    return f"```toml\n{tomli_w.dumps(texts)}```"


def _are_trained_on(data: Dataset, settings: Mapping[str, Any] | None) -> bool:
    """Return whether the test part is the training part, by labels and FEW images."""
    if settings is None or settings["dataset"] != data.source:
        return False
    pairs = [(p.labels, p.images[:FEW]) for p in (data.train, data.test)]
    return all(map(np.array_equal, *pairs))


def _limits(
    network: Network,
    data: Dataset,
    test: Evaluation,
    settings: Mapping[str, Any] | None,
) -> str:
    limits = [f"- It has been tested on {_cell(data.name)} alone."]
    if _are_trained_on(data, settings):
        limits += [
            f"- The test {samples(network.columns)} are those that it was trained on: "
            "the score above says nothing of others."
        ]
    chosen_by = "validation_fraction", "validation_data"
    if settings is not None and not any(settings[name] for name in chosen_by):
        limits += [
            "- No validation set was held out: if settings were chosen by the test "
            f"{samples(network.columns)}, the score above flatters it."
        ]
    if network.task == "regression":
        kind = samples(network.columns)
        limits += [f"- Far from its training {kind} its values mean nothing."]
    else:
        limits += [
            "- Its probabilities have not been calibrated, and it has no answer for "
            "what belongs to none of its classes."
        ]
    if network.frame.box and not network.columns:
        limits += [
            "- It sees one small picture, centred and scaled as in its data; "
            "`nnx predict` does so with pictures of any size."
        ]
    if test.counts is not None:
        shares = list(zip(test.recall, network.classes, strict=True))
        known = [pair for pair in shares if not math.isnan(pair[0])]
        if known:
            share, name = min(known)
            limits += [
                f"- Of {_cell(name)}, the class it finds worst, it finds "
                f"{percent(share)}."
            ]
    return "\n".join(limits)
