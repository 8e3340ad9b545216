"""What `nnx bench` shows fits: its tables a terminal, and its note the picture."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from nnx.cli import bench_report
from nnx_benchmarks import picture, throughput
from nnx_benchmarks.report import Row, Table

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


@pytest.fixture
def table() -> Callable[[str], Table]:
    """Make a table of measured rows."""

    def table(key: str) -> Table:
        rows: list[Row] = []
        for row in json.loads((RESULTS / "plain-2-cores-epyc.json").read_text())[
            "rows"
        ]:
            if row["workload"] == key:
                rows.append(row)
        return Table(f"{key}: 784-10, relu", throughput.COLUMNS, rows)

    return table


@pytest.mark.parametrize("columns", [80, 60])
def test_no_name_is_folded_in_a_narrow_terminal(
    table: Callable[[str], Table],
    columns: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    deep = table("deep")
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    bench_report._show([deep], "")
    shown = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    _, heading, _, *lines = shown.splitlines()
    names = [str(row["implementation"]) for row in deep.rows]
    for name, line in zip(names, lines, strict=False):
        assert line.startswith(name)
        assert len(line.rstrip()) <= columns
    assert heading.split()[:2] == ["implementation", "ms/epoch"]
    assert "images/s" in heading
    [said] = [line for line in lines if line.startswith("not shown")]
    assert "100 steps" in said


def test_elsewhere_nothing_is_left_out(
    table: Callable[[str], Table], capsys: pytest.CaptureFixture[str]
) -> None:
    bench_report._show([table("deep")], "")
    _, heading, *lines = capsys.readouterr().out.splitlines()
    assert heading.endswith("accuracy")
    assert "100 steps" in heading
    assert not [line for line in lines if line.startswith("not shown")]


@pytest.mark.parametrize("keys", [["deep"], ["deep", "wide"]])
def test_the_picture_s_note_is_whole(
    table: Callable[[str], Table], keys: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Figure] = []

    class Kept(Figure):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            made.append(self)

    monkeypatch.setattr(picture, "Figure", Kept)
    machine = "AMD EPYC-Genoa Processor · 2 cores · " * 4
    assert picture.png([table(key) for key in keys], machine)
    [figure] = made
    render = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    note = figure._supxlabel.get_window_extent(render)  # type: ignore[attr-defined]
    assert note.x1 <= figure.bbox.x1
    assert note.y0 >= figure.bbox.y0
    assert figure.axes[0].get_tightbbox(render).y0 > note.y1
