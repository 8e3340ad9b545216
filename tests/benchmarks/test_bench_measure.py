"""Speeds, the floor, and what is made of them."""

import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nnx.cores import available
from nnx.data.dataset import Dataset
from nnx_benchmarks import machine, picture, report, time_to
from nnx_benchmarks.agreement import Agreement
from nnx_benchmarks.floor import Products
from nnx_benchmarks.floor_process import Floor
from nnx_benchmarks.measure import Measured, Result, measure
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
def result(workload: Workload, images: Dataset, numpy: Implementation) -> Result:
    both = [numpy, Implementation("broken", broken)]
    return measure("small", workload, images, both, 2, lambda text: None)


def test_measure(result: Result) -> None:
    measured, failed = result.rows
    assert len(measured.seconds) == 2
    assert all(second > 0 for second in measured.seconds)
    assert measured.accuracy is not None
    assert measured.accuracy > 0.5
    assert failed == Measured("broken", Agreement(wrong="failed: it is broken"))
    assert result.images == 330
    assert 0 < result.floor < 1


def test_json(result: Result) -> None:
    rows = json.loads(json.dumps(report.as_json(result), allow_nan=False))
    assert all(set(row) >= KEYS for row in rows)
    measured, failed = rows
    speed = measured["images_per_second"] * measured["ms_per_epoch"]
    assert math.isclose(speed, 330e3)
    assert failed["ms_per_epoch"] is failed["images_per_second"] is None
    assert failed["no_speed_because"] == "failed: it is broken"


def test_table_has_no_speed_without_agreement(result: Result) -> None:
    _, cells = report.table(result)
    assert [row[0] for row in cells] == ["nnx numpy"]
    assert len(cells[0]) == len(report.COLUMNS)
    assert report.without_speed(result) == ["broken: no speed, failed: it is broken"]


def drawn(rows: list[Measured]) -> Image.Image:
    products = {"own kernels, 1 threads": (0.05, 0.06)}
    results = [
        Result(key, workload, 60_000, products, rows)
        for key, workload in list(WORKLOADS.items())[:3]
    ]
    return Image.open(io.BytesIO(picture.png(results, "a machine")))


def test_picture_shows_each_speed_and_the_floor() -> None:
    agreed = Agreement(1e-7, 1e-16, 1e-6)
    rows = [
        Measured("nnx numpy", agreed, (0.2, 0.3)),
        Measured("other", agreed, (0.1,)),
    ]
    image = drawn(rows).convert("RGB")
    assert image.width > 1000
    assert image.height > 400
    colours = {tuple(colour) for colour in np.asarray(image).reshape(-1, 3)}
    wanted = picture.OURS, picture.THEIRS, picture.FLOOR
    assert {tuple(bytes.fromhex(c[1:])) for c in wanted} <= colours


def test_picture_draws_no_bar_without_agreement() -> None:
    rows = [Measured("nnx numpy", Agreement(0.1, None, 0.1, REASON))]
    image = drawn(rows).convert("RGB")
    ours = np.array(list(bytes.fromhex(picture.OURS[1:])))
    assert not (np.asarray(image) == ours).all(axis=2).any()


@pytest.mark.parametrize("key", ["tiny", "other-linear", "other-4-layers"])
def test_floor_is_positive_with_a_short_batch(key: str) -> None:
    assert Products(WORKLOADS[key]).seconds(images=1_100, threads=1) > 0


def test_floor_in_processes_of_its_own(workload: Workload) -> None:
    with Floor(workload) as floor:
        found = floor.epoch(330)
        assert len(found) >= len({1, available()})
        assert all(seconds > 0 for seconds in found.values())
    assert all(process.returncode is not None for process in floor.processes)


def test_time_to(workload: Workload, images: Dataset, numpy: Implementation) -> None:
    both = [numpy, Implementation("broken", broken)]
    finishes = time_to.race(0.9, workload, images, both, 2, lambda text: None)
    first, second = finishes[0].runs
    assert first.accuracy == second.accuracy >= 0.9
    assert 1 <= first.epochs == second.epochs < time_to.MOST_EPOCHS
    assert [row[0] for row in time_to.table(finishes, 0.9)] == ["nnx numpy"]
    assert len(time_to.table(finishes, 0.9)[0]) == len(time_to.COLUMNS)
    measured, failed = time_to.as_json(finishes, 0.9)
    assert measured["seconds"] > 0
    assert failed["seconds"] is None
    assert time_to.without_speed(finishes) == ["broken: no speed, failed: it is broken"]


def test_an_accuracy_not_reached_has_no_time(
    workload: Workload,
    images: Dataset,
    numpy: Implementation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time_to, "MOST_EPOCHS", 1)
    slow = workload._replace(learning_rate=1e-6)
    finishes = time_to.race(0.99, slow, images, [numpy], 1, lambda text: None)
    assert time_to.as_json(finishes, 0.99)[0]["seconds"] is None
    assert time_to.table(finishes, 0.99)[0][1] == "not reached"


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
