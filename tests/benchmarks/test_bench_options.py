"""What `nnx bench --options` measures, and that it measures nothing that is wrong."""

from dataclasses import replace
from typing import Any

import pytest

from nnx import find
from nnx.backend import Backend
from nnx.data.dataset import Dataset
from nnx.maths import steps
from nnx.maths.steps import State
from nnx_benchmarks import options
from nnx_benchmarks.workloads import WORKLOADS, Workload


@pytest.mark.parametrize("option", options.OPTIONS)
def test_a_wide_network_s_first_step_agrees(option: str, images: Dataset) -> None:
    """Among its million gradients are some that are next to nothing."""
    wide = WORKLOADS["wide"]
    error = options.first_step_error(wide, images, option, find("numba"))
    assert error <= options.BOUNDS["float64"]


def longer(state: State, *args: Any) -> State:
    """Return steps after which the weights are a little too large."""
    reached = steps.run_steps(state, *args)
    first, *rest = reached.layers
    return reached._replace(layers=[first._replace(weight=1.001 * first.weight), *rest])


def test_costs(workload: Workload, images: Dataset, reference: Backend) -> None:
    wrong = replace(reference, name="wrong", run_steps=longer)
    said: list[str] = []
    costs = options.measure(workload, images, [reference, wrong], 2, said.append)
    assert said == ["warming up", "round 1 of 2", "round 2 of 2"]
    right = [cost for cost in costs if cost.implementation == "numpy"]
    assert [row[0] for row in options.table(costs)] == list(options.OPTIONS)
    assert all(len(cost.seconds) == 2 and cost.ratio > 0 for cost in right)
    plain = next(cost for cost in right if cost.option == "plain")
    assert plain.ratio == 1.0
    lines = options.without_speed(costs)
    assert len(lines) == len(options.OPTIONS)
    assert lines[0].startswith("plain, nnx wrong: no speed, off by ")
    found = options.as_json(costs)
    assert {row["option"] for row in found} == set(options.OPTIONS)
    silent = [row for row in found if row["implementation"] == "nnx wrong"]
    assert all(row["ms_per_epoch"] is None for row in silent)
