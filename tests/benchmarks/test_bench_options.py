"""What `nnx bench options` measures, and that it gives no speed to wrong results."""

from dataclasses import replace
from typing import Any

import pytest

from nnx import find
from nnx.backend import Backend
from nnx.data.dataset import Dataset
from nnx.maths.state import State
from nnx_benchmarks import options
from nnx_benchmarks.workloads import WORKLOADS, Workload


@pytest.mark.parametrize("option", options.OPTIONS)
def test_a_wide_network_s_first_step_agrees(option: str, images: Dataset) -> None:
    """Among its million gradients are some that are next to nothing."""
    wide = WORKLOADS["wide"]
    error = options.first_step_error(wide, images, option, find("numba"))
    assert error <= options.BOUNDS["float64"]


def test_costs(workload: Workload, images: Dataset, reference: Backend) -> None:
    def longer(*args: Any) -> State:
        """Return steps after which the weights are a little too large."""
        reached = reference.run_steps(*args)
        first, *rest = reached.layers
        longer = first._replace(weight=1.001 * first.weight)
        return reached._replace(layers=[longer, *rest])

    wrong = replace(reference, name="wrong", own_steps=longer)
    said: list[str] = []
    [report] = options.measure(
        {"small": workload}, [reference, wrong], images, 2, said.append
    )
    assert said == [
        "small: warming up", "small: round 1 of 2", "small: round 2 of 2"
    ]  # fmt: skip
    [table] = report.tables
    assert [row[:2] for row in table.cells()] == [
        [option, "nnx numpy"] for option in options.OPTIONS
    ]
    assert {len(row) for row in table.cells()} == {len(table.columns)}
    assert len(table.without_speed()) == len(options.OPTIONS)
    assert table.without_speed()[0].startswith("plain, nnx wrong: no speed, off by ")
    rows = report.as_json()["rows"]
    assert {(row["workload"], row["option"]) for row in rows} == {
        ("small", option) for option in options.OPTIONS
    }
    right = [row for row in rows if row["implementation"] == "nnx numpy"]
    assert all(row["ms_per_epoch"] > 0 and row["over_plain"] > 0 for row in right)
    assert right[0]["over_plain"] == 1.0
    silent = [row for row in rows if row["implementation"] == "nnx wrong"]
    assert all(row["ms_per_epoch"] is None for row in silent)
    assert all(row["no_speed_because"] for row in silent)
