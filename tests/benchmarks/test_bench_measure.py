"""Speeds, the floor, and the figures that are derived from them."""

import io
import json
import math
import subprocess
import sys
import timeit
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nnx.backend import Backend, find
from nnx.cores import available
from nnx.data.dataset import Dataset
from nnx_benchmarks import (
    card,
    choose,
    floor,
    machine,
    peak,
    picture,
    throughput,
    time_to,
)
from nnx_benchmarks.agreement import Agreement
from nnx_benchmarks.report import Report, Row, Table
from nnx_benchmarks.trainer import Implementation
from nnx_benchmarks.workloads import WORKLOADS, Workload

REASON = "disagrees: loss and gradients off by 1.0e-01, more than 1.0e-05"
KEYS = {
    "workload", "implementation", "ms_per_epoch", "images_per_second", "accuracy",
    "max_relative_error",
}  # fmt: skip


def broken(problem: object) -> None:
    raise RuntimeError("it is broken")


@pytest.fixture
def both(numpy: Implementation) -> list[Implementation]:
    return [numpy, Implementation("broken", broken)]


def silent(text: str) -> None:
    pass


def test_measure(
    workload: Workload, images: Dataset, both: list[Implementation]
) -> None:
    [report] = throughput.measure({"small": workload}, both, images, 2, silent)
    shows_no_speed_without_agreement(report)
    found = in_json(report)
    assert 0 < found["floor"]["small"] == min(found["products"]["small"].values())
    rows = {row["implementation"]: row for row in found["rows"]}
    measured, failed = rows["nnx numpy"], rows["broken"]
    assert rows["matrix products"]["ms_per_epoch"] == found["floor"]["small"]
    peak_ms = 1e-6 * 330 * workload.flops / found["peak"]["small"]["gflops"]
    assert math.isclose(measured["of_peak"], peak_ms / measured["ms_per_epoch"])
    assert set(measured) == set(failed) >= KEYS
    low, high = measured["ms_range"]
    assert 0 < low <= measured["ms_per_epoch"] <= high
    speed = measured["images_per_second"] * measured["ms_per_epoch"]
    assert math.isclose(speed, 330e3)
    assert measured["accuracy"] > 0.5
    given = {key for key, value in failed.items() if value is not None}
    assert given == {"workload", "implementation", "no_speed_because"}


def test_a_report_after_each_workload(
    workload: Workload,
    images: Dataset,
    numpy: Implementation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And where no bound can be measured, the speeds alone."""
    bounds = throughput.Bounds(dict, lambda workload: nullcontext(lambda images: {}))
    monkeypatch.setattr(throughput, "_bounds", lambda implementations, note: bounds)
    two = {"one": workload, "two": workload._replace(batch_size=64)}
    first, both = throughput.measure(two, [numpy], images, 1, silent)
    assert first.tables == both.tables[:1]
    assert [table.title for table in both.tables] == [
        f"{key}: {each}" for key, each in two.items()
    ]
    rows = both.as_json()["rows"]
    assert [row["implementation"] for row in rows] == ["nnx numpy"] * 2
    assert all(row["ms_per_epoch"] > 0 for row in rows)
    assert {row["of_peak"] for row in rows} == {None}


def test_beside_a_card_stands_what_computes_there(
    reference: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = replace(reference, name="cupy", device="cuda:0 (A card)")
    said: list[str] = []
    for backend, names in (
        (card, ["nnx cupy"]), (reference, ["nnx numpy", "plain NumPy"])
    ):  # fmt: skip
        given = [backend]
        monkeypatch.setattr(choose, "backends", lambda *of, given=given, **on: given)
        found = choose.implementations("given", ["plain_numpy"], said.append)
        assert [each.name for each in found] == names
    assert said == ["NumPy left out: it does not compute on the card"]


@pytest.mark.gpu
def test_a_card_is_measured_in_bf16_if_asked() -> None:
    find("gpu")
    chosen = choose.implementations("cupy", (), silent, bf16=True)
    names = "nnx cupy", "nnx cupy, plain steps", "nnx cupy bf16"
    assert tuple(each.name for each in chosen) == names
    assert all(each.card for each in chosen)


@pytest.mark.gpu
def test_rates_of_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    find("gpu")
    monkeypatch.setattr(card, "SIDE", 64)
    monkeypatch.setattr(card, "COPIED", 2**16)
    rates = card.rates(silent)()
    assert {"gigabytes_per_second", "gflops"} <= set(rates)
    assert min(rates.values()) > 0


def in_json(report: Report) -> Any:
    return json.loads(json.dumps(report.as_json(), allow_nan=False))


def shows_no_speed_without_agreement(report: Report) -> None:
    [table] = report.tables
    assert {row[0] for row in table.cells()} - {throughput.FLOOR} == {"nnx numpy"}
    assert len(table.cells()[0]) == len(table.columns)
    assert table.without_speed() == ["broken: no speed, failed: it is broken"]
    *others, last = (row["no_speed_because"] for row in report.as_json()["rows"])
    assert set(others) == {None}
    assert last == "failed: it is broken"


def drawn(*agreeing: str) -> Image.Image:
    """Return the picture of three workloads; nnx is measured and another."""
    tables = []
    for key, workload in list(WORKLOADS.items())[:3]:
        rows: list[Row] = [
            {"implementation": name, "images_per_second": 6e5, "ms_per_epoch": 100.0}
            | {"ms_range": [90.0, 120.0]}
            | Agreement(1e-7).as_row()
            if name in agreeing
            else {"implementation": name, "images_per_second": None}
            | Agreement(0.1, wrong=REASON).as_row()
            for name in ("nnx numpy", "other")
        ]
        tables.append(Table(f"{key}: {workload}", throughput.COLUMNS, rows))
    return Image.open(io.BytesIO(picture.png(tables, "a machine"))).convert("RGB")


def colours(image: Image.Image) -> set[str]:
    pixels = np.unique(np.asarray(image).reshape(-1, 3), axis=0)
    return {f"#{bytes(pixel).hex()}" for pixel in pixels}


def test_picture_shows_each_speed() -> None:
    image = drawn("nnx numpy", "other")
    assert image.width > 1000
    assert image.height > 400
    assert {picture.OURS, picture.THEIRS, picture.FLOOR} <= colours(image)


def test_picture_draws_no_bar_without_agreement() -> None:
    assert not {picture.OURS, picture.THEIRS} & colours(drawn())
    assert picture.OURS not in colours(drawn("other"))


def test_peak_is_no_lower_than_blas() -> None:
    rates = peak.processor(silent)()
    assert rates["gigabytes_per_second"] > 0.1
    a = np.ones((1024, 1024), np.float32)
    fastest = min(timeit.repeat(lambda: a @ a, number=1, repeat=5))
    assert rates["gflops"] > 0.8e-9 * 2 * 1024**3 / fastest


def test_without_llvmlite_there_is_no_share_of_the_peak(
    workload: Workload,
    images: Dataset,
    numpy: Implementation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    said: list[str] = []
    [report] = throughput.measure({"small": workload}, [numpy], images, 1, said.append)
    assert said[0].startswith("share of the processor's peak left out: ")
    assert "of peak" not in [heading for heading, _, _ in report.tables[0].columns]
    found = in_json(report)
    assert set(found["peak"]["small"]) == {"gigabytes_per_second"}
    assert {row["of_peak"] for row in found["rows"]} == {None}


def test_operations() -> None:
    deep = 784 * 800 * 4 + (800 * 800 + 800 * 10) * 6
    assert WORKLOADS["deep"].flops == deep
    assert WORKLOADS["other-linear"].flops == 784 * 10 * 4


@pytest.mark.parametrize("key", ["tiny", "other-linear", "other-4-layers"])
def test_floor_is_positive_with_a_short_batch(key: str) -> None:
    assert floor.Products(WORKLOADS[key]).seconds(images=1_100, threads=1) > 0


def test_floor_in_processes_of_its_own(
    workload: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, popen = [], subprocess.Popen

    def start(*args: Any, **options: Any) -> Any:
        started.append(popen(*args, **options))
        return started[-1]

    monkeypatch.setattr(floor.subprocess, "Popen", start)
    with floor.floor(workload) as products:
        seconds = products(330)
        assert len(seconds) >= len(started) * len({1, available()})
        assert all(each > 0 for each in seconds.values())
    assert started
    assert all(process.returncode is not None for process in started)


def test_time_to(
    workload: Workload, images: Dataset, both: list[Implementation]
) -> None:
    said: list[str] = []
    [report] = time_to.measure(0.9, "small", workload, both, images, 2, said.append)
    shows_no_speed_without_agreement(report)
    assert [line for line in said if "round" in line] == [
        "round 1 of 2", "round 2 of 2"
    ]  # fmt: skip
    assert len({line.partition(" s, ")[2] for line in said if " s, " in line}) == 1
    measured, failed = in_json(report)["rows"]
    assert measured["seconds"] > 0
    assert measured["accuracy"] >= 0.9
    assert 1 <= measured["epochs"] < time_to.MOST_EPOCHS
    assert failed["seconds"] is failed["epochs"] is None


def test_an_accuracy_not_reached_has_no_time(
    workload: Workload,
    images: Dataset,
    numpy: Implementation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time_to, "MOST_EPOCHS", 1)
    slow = workload._replace(learning_rate=1e-6)
    [report] = time_to.measure(0.99, "slow", slow, [numpy], images, 1, silent)
    assert report.as_json()["rows"][0]["seconds"] is None
    assert report.tables[0].cells()[0][1:3] == ["–", "–"]


def test_machine() -> None:
    found = json.loads(json.dumps(machine.machine()))
    assert found["processor"]
    assert found["cores"] >= 1
    assert found["packages"]["numpy"] == np.__version__
    assert any(pool["kernels"] for pool in found["threads"] if "kernels" in pool)
    assert found["processor"] in machine.summary(found)


def test_cards_are_named_where_there_are_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.cards() == []
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'A card, 1.2, 3 MiB'\n")
    tool.chmod(0o755)
    described = machine.machine()
    assert described["cards"] == ["A card, 1.2, 3 MiB"]
    assert machine.summary(described).endswith(" · A card, 1.2, 3 MiB")
    tool.write_text("#!/bin/sh\necho 'No devices were found'; exit 6\n")
    assert machine.cards() == []
