"""`report.html`: a run's results, pictures, settings and environment in one file."""

import platform
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib import resources
from string import Template
from typing import Any

from nnx import __version__, cores
from nnx.installation import PACKAGES, versions
from nnx.network import Network
from nnx.settings import ROWS, Settings, complete
from nnx.settings.values import as_option
from nnx.training.evaluate import Evaluation
from nnx.training.folder import REPORT_NAME
from nnx.training.log import METRIC_NAMES, Row, best
from nnx.training.scores import quantity, score_text

TYPES = {"png": "image/png", "svg": "image/svg+xml"}
# Each picture's heading, and how to read it.
WORDS = {
    "curves": ("Epoch by epoch", "Training minimizes the loss. If it keeps falling on "
        "the training data but not on the others, the network is overfitting: it "
        "memorizes what it is trained on."),
    "confusion": ("Confusion matrix", "Each row is a true class, each column a "
        "predicted class. The darker a cell, the more frequent the mistake."),
    "labels": ("Label by label", "Precision is the share of the predictions of a label "
        "that are right; recall is the share of the rows with the label that are "
        "found. In brackets: how many rows have the label."),
    "predictions": ("Predicted against true", "Each point is a test row, in the "
        "target's unit; on the line, the prediction is exact. R² is 1 at best, and 0 "
        "for a network that always predicts the mean."),
    "residuals": ("Residuals", "The predicted value minus the true value. A slope or a "
        "bend shows something that the network has not learned; a funnel, that its "
        "errors grow with the values."),
    "weights": ("What the first layer looks for", "Each square is a unit: ink on "
        "orange pixels raises its output, ink on violet pixels lowers it."),
    "activations": ("Outputs of the hidden units", "Each row is an image, each column "
        "a unit. A unit whose output is 0 for every image is dead."),
    "mistakes": ("Confident mistakes", "What the network predicted for each image, its "
        "probability, and the true class."),
    "samples": ("Samples", "What the network predicted for each image, and its "
        "probability; mistakes are framed."),
}  # fmt: skip


def document(
    network: Network,
    dataset: str,
    settings: Settings,
    log: Sequence[Row],
    test: Evaluation,
    pictures: Iterable[tuple[str, str, bytes]],
) -> bytes:
    """Return the content of the report.

    test: the network's results on the test images
    pictures: the name, the kind (png or svg) and the bytes of each
    """
    results = _results(network, log, test, keeps_best=settings["patience"] > 0)
    sections = [_section("Results", _pairs(results))]
    for name, kind, content in pictures:
        heading, words = WORDS[name]
        source = f"data:{TYPES[kind]};base64,{b64encode(content).decode()}"
        image = f'<img alt="{escape(heading)}. {escape(words)}" src="{source}">'
        sections.append(_section(heading, f"<figure>{image}</figure>", words))
    if log:
        sections.append(_section("Epochs", _epochs(log)))
    own, others = _settings(settings)
    sections += [
        _section("Settings of this run", _pairs(own)),
        _section("Settings left at their defaults", _pairs(others)),
        _section("Environment", _pairs(_environment(settings))),
    ]
    file = resources.files(__package__).joinpath(REPORT_NAME)
    template = Template(file.read_text("utf-8"))
    subtitle = f"{network.parameters:,} parameters, trained by nnx {__version__}"
    page = template.substitute(
        title=escape(f"{dataset}: network {network}"),
        subtitle=subtitle,
        sections="\n".join(sections),
    )
    return page.encode()


def _section(heading: str, body: str, words: str = "") -> str:
    said = f"\n<p>{escape(words)}</p>" if words else ""
    return f"<h2>{escape(heading)}</h2>{said}\n{body}"


def _pairs(values: Mapping[str, str]) -> str:
    rows = (
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>'
        for name, value in values.items()
    )
    return f'<div class="scroll"><table>{"".join(rows)}</table></div>'


def _results(
    network: Network, log: Sequence[Row], test: Evaluation, *, keeps_best: bool
) -> dict[str, str]:
    word, nats = METRIC_NAMES[test.metric], " nats" if test.metric == "accuracy" else ""
    results = {f"test {word}": _score(test.score, test.metric, test.loss) + nats}
    results |= _errors(network, test)
    if not log:
        return results
    last, chosen = log[-1], best(log)
    final = chosen if keeps_best else last
    if final.validation_score is not None:
        held_out = _score(final.validation_score, final.metric, final.validation_loss)
        results[f"validation {word}"] = f"{held_out}{nats}, in epoch {final.epoch}"
    if final.epoch != chosen.epoch and chosen.validation_score is not None:
        results[f"best validation {word}"] = (
            f"{_score(chosen.validation_score, chosen.metric)}, in epoch "
            f"{chosen.epoch}; its weights were not kept, as they are with --patience"
        )
    running = _score(last.train_score, last.metric, last.train_loss)
    results[f"training {word} in the last epoch"] = f"{running}{nats} (running mean)"
    return results | {"epochs": str(last.epoch), "training": f"{last.seconds:.2f} s"}


def _errors(network: Network, test: Evaluation) -> dict[str, str]:
    """Return each target's error, in the target's unit."""
    if test.rmse is None:
        return {}
    named = zip(network.targets, test.rmse, strict=True)
    return {f"test RMSE of {target.name}": quantity(error) for target, error in named}


def _score(score: float, metric: str, loss: float | None = None) -> str:
    shown = score_text(score, metric)
    return shown if loss is None else f"{shown}, loss {loss:.4f}"


def _epochs(log: Sequence[Row]) -> str:
    """Return the log as a table, without columns that are empty."""
    names = [name for name, value in log[-1].named.items() if value is not None]
    shown = [name.replace("_", " ").replace("r2", METRIC_NAMES["r2"]) for name in names]
    head = "".join(f'<th scope="col">{name}</th>' for name in shown)
    lines = (
        "".join(f'<td class="number">{_number(row.named[n])}</td>' for n in names)
        for row in log
    )
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.4f}"


def _settings(settings: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the settings that differ from their defaults, and the others."""
    plain: Mapping[str, Any] = complete({})
    own, others = dict[str, str](), dict[str, str]()
    for name in ROWS:
        if name in settings:
            value, default = (as_option(name, s[name]) for s in (settings, plain))
            text = f"{value:g}" if isinstance(value, float) else str(value)
            (own if value != default else others)[name] = text
    return own, others


def _environment(settings: Settings) -> dict[str, str]:
    """Return the environment of this process, usually the one that trained."""
    known = {name: number for name, number in versions(PACKAGES).items() if number}
    return {
        "nnx": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": f"{platform.machine()}, {cores.available()} cores",
        "backend": settings["backend"],
    } | known
