"""Writing a run's pictures and its report to files."""

from pathlib import Path

from nnx import files
from nnx.data.dataset import Dataset
from nnx.network import Network
from nnx.report import style
from nnx.report.document import document
from nnx.report.pictures import pictures
from nnx.settings import Settings
from nnx.training.evaluate import Evaluation
from nnx.training.folder import REPORT_NAME
from nnx.training.log import Row


def write(
    folder: Path,
    kind: str,
    network: Network,
    data: Dataset,
    settings: Settings,
    log: tuple[Row, ...],
    test: Evaluation,
) -> list[Path]:
    """Write the pictures, and the report that contains them; return the files.

    kind: png or svg
    data: the data set that the network was trained on, or one like it
    test: the network's results on the test images

    Raises:
        InputError: a file cannot be written
    """
    drawn, written = [], []
    with style.own_settings():
        for name, figure in pictures(network, data, settings, log):
            content = style.encoded(figure, kind)
            drawn.append((name, kind, content))
            file = folder / f"{name}.{kind}"
            files.write(file, content)
            written.append(file)
    page = document(network, data.name, settings, log, test, drawn)
    files.write(folder / REPORT_NAME, page)
    return [*written, folder / REPORT_NAME]
