"""Printing and writing the results of `nnx bench`."""

import json as json_format
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from nnx import cores
from nnx.cli import show
from nnx.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nnx.data.dataset import Dataset
    from nnx_benchmarks.measure import Note
    from nnx_benchmarks.report import Report, Table

JSON_NAME, PICTURE_NAME = "bench.json", "bench.png"
LOOK = 0.5  # seconds in which other programs' use of the cores is measured


def report(
    measure: "Callable[[Any, int, Note], Iterable[Report]]",
    images: "Dataset | None",
    rounds: int,
    out: Path | None,
    json: bool,
) -> None:
    """Measure, print the reports and write them; exit with status 1 if one disagreed.

    measure: yields reports, each of which extends the one before
    """
    from nnx import files
    from nnx.training.folder import default_folder
    from nnx_benchmarks import machine
    from nnx_benchmarks.data import RANDOM

    folder = _prepared(out or default_folder("bench"))
    if images is not None and images.name == RANDOM:
        show.note(
            "MNIST is not here: random bytes of its shape are used, without an "
            "accuracy; to download it: nnx data fetch mnist"
        )
    _say_if_busy()
    shown = 0
    for so_far in measure(images, rounds, show.note):
        described = machine.machine()
        summary = machine.summary(described)
        of = {"images": images and images.name, "machine": described}
        values, written = so_far.as_json() | of, [folder / JSON_NAME]
        # Written after each report, in case a later one never ends.
        content = json_format.dumps(values, indent=1) + "\n"
        files.write(written[0], content.encode())
        if not json:
            _show(so_far.tables[shown:], "" if shown else summary)
            shown = len(so_far.tables)
    if so_far.drawn:
        from nnx_benchmarks import picture

        written.append(folder / PICTURE_NAME)
        files.write(written[1], picture.png(so_far.tables, summary))
    if json:
        show.as_json(values)
    else:
        show.line(so_far.legend)
        show.line(f"written: {', '.join(map(str, written))}")
    if any(row["no_speed_because"] for row in values["rows"]):
        raise typer.Exit(1)


def _show(tables: "Sequence[Table]", summary: str) -> None:
    """Print tables after the summary of the machine, if given."""
    if summary:
        show.line(summary)
    for whole in tables:
        table = whole
        if sys.stdout.isatty():
            table = whole.narrowed(shutil.get_terminal_size().columns)
        columns = [heading for heading, _, _ in table.columns]
        show.table(table.title, columns, table.cells())
        left = [heading for heading, _, _ in whole.columns if heading not in columns]
        if left:
            show.line(f"not shown, but in {JSON_NAME}: {', '.join(left)}")
        for line in [*table.without_speed(), ""]:
            show.line(line)


def _say_if_busy() -> None:
    """Print a note if other programs use the cores."""
    moment = cores.times()
    time.sleep(LOOK)
    if (busy := cores.busy(moment)) > cores.BUSY:
        show.note(
            f"the machine is busy: other programs use {busy:.1f} of "
            f"{cores.available()} cores; libraries whose threads wait for one another "
            "will seem many times slower than they are"
        )


def _prepared(folder: Path) -> Path:
    """Create and return the folder; refuse one that already holds a result."""
    from nnx import files

    existing = [name for name in (JSON_NAME, PICTURE_NAME) if (folder / name).exists()]
    if existing:
        names = ", ".join(existing)
        raise InputError(f"{folder}: already holds {names}; choose another --out")
    with files.holding(folder, "results"):
        folder.mkdir(parents=True, exist_ok=True)
    return folder
