"""A run's pictures and its report, as files."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from nnx import files
from nnx.data.dataset import Array, Dataset
from nnx.network import Network
from nnx.report import style
from nnx.report.document import Scores, document
from nnx.report.pictures import pictures
from nnx.settings import Settings
from nnx.training.evaluate import check_fits
from nnx.training.folder import REPORT_NAME
from nnx.training.log import Row


def write(
    folder: Path,
    kind: str,
    network: Network,
    data: Dataset,
    settings: Settings,
    log: tuple[Row, ...],
) -> Iterator[Path]:
    """Yield each file as it is written: the pictures, and the report with all of them.

    kind: png or svg

    Raises:
        InputError: data that do not fit the network, a file that cannot be written
    """
    check_fits(network, data)
    probabilities = network.predict_proba(data.test.images)
    drawn = []
    for name, figure in pictures(network, data, settings, log, probabilities):
        content = style.encoded(figure, kind)
        drawn.append((name, kind, content))
        file = folder / f"{name}.{kind}"
        files.write(file, content)
        yield file
    scores = _scores(probabilities, np.asarray(data.test.labels))
    page = document(network, data.name, settings, log, scores, drawn)
    files.write(folder / REPORT_NAME, page)
    yield folder / REPORT_NAME


def _scores(probabilities: Array, labels: Array) -> Scores:
    """Return the scores of the images with these labels."""
    own = probabilities[np.arange(len(labels)), labels]
    least = np.finfo(own.dtype).tiny
    right = np.argmax(probabilities, axis=1) == labels
    loss = -np.mean(np.log(np.maximum(own, least)))
    return Scores(float(loss), float(np.mean(right)))
