"""What `nnx bench` shows fits: its tables a terminal, and its note the picture."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from matplotlib.figure import Figure

from nnx.cli import bench_report
from nnx_benchmarks import picture, throughput
from nnx_benchmarks.data import random_bytes
from nnx_benchmarks.machine import summary
from nnx_benchmarks.report import Report, Row, Table

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


@pytest.mark.parametrize("as_json", [False, True])
def test_a_report_is_printed_once_and_written_as_it_grows(
    table: Callable[[str], Table],
    as_json: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    deep, wide = table("deep"), table("wide")
    wide.rows[0]["no_speed_because"] = "it is wrong"
    file, sizes = tmp_path / "new" / "bench.json", list[int]()

    def measure(*given: Any) -> Iterator[Report]:
        for tables in [deep], [deep, wide]:
            yield Report(tables, {"floor": 1}, "the legend", drawn=len(tables) == 2)
            sizes.append(len(json.loads(file.read_text())["rows"]))

    monkeypatch.setattr(bench_report, "LOOK", 0.0)
    monkeypatch.setattr(bench_report.cores, "busy", lambda moment: 1.5)
    with pytest.raises(typer.Exit) as ended:
        bench_report.report(measure, random_bytes(1), 1, file.parent, as_json)
    assert ended.value.exit_code == 1
    assert sizes == [len(deep.rows), len(deep.rows) + len(wide.rows)]
    assert (file.parent / "bench.png").read_bytes().startswith(b"\x89PNG")
    out, err = capsys.readouterr()
    missing, busy = err.splitlines()
    assert missing.startswith("MNIST is not here: random bytes of its shape are used")
    assert busy.startswith("the machine is busy: other programs use 1.5 of ")
    found = json.loads(file.read_text())
    assert (found["images"], found["floor"]) == ("random bytes", 1)
    if as_json:
        assert json.loads(out) == found
        return
    lines = out.splitlines()
    machine = summary(found["machine"])
    assert [lines.count(each) for each in (machine, deep.title, wide.title)] == [1] * 3
    assert lines[0] == machine
    assert any(line.endswith(": no speed, it is wrong") for line in lines)
    assert lines[-2:] == ["the legend", f"written: {file}, {file.parent / 'bench.png'}"]


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
