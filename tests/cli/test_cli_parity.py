"""`nnx parity`: every backend that installed packages offer, held to its bounds."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import typer

from nnx import backend
from nnx.backend import Backend
from nnx.cli import checks
from nnx.errors import OutOfMemoryError, UnusableBackendError
from nnx.maths import steps
from nnx.maths.state import State
from nnx.verify import parity
from nnx.verify.cases import PARITY_CASES, Case
from nnx.verify.compare import PLAIN

Run = Callable[..., Any]


@pytest.mark.sweep
def test_json(done: Run) -> None:
    """Every usable backend on every case, but JAX, which compiles for minutes.

    Its steps and gradients have tests of their own, on drawn shapes.
    """
    ran = done("parity", "--json", timeout=600, env={"JAX_PLATFORMS": "none"})
    (line,) = ran.stdout.splitlines()
    found = json.loads(line)
    assert list(found) == ["reference", "rows"]
    assert found["reference"] == "numpy float64"
    bounds = {"float64": 1e-12, "float32": 1e-5}
    for row in found["rows"]:
        assert list(row) == ["backend", "dtype", "network", "max_relative_error"]
        assert 0 <= row["max_relative_error"] <= bounds[row["dtype"]]
    names = {row["backend"] for row in found["rows"]}
    assert names >= {"numpy", "strict"}
    assert len(found["rows"]) == len(names) * len(bounds) * len(PARITY_CASES)
    networks = {row["network"] for row in found["rows"]}
    assert {"784-10-10 relu", "784-800-800-10 relu"} <= networks


def lucky(*args: Any) -> State:
    """One correct image too many in float32."""
    state = steps.run_steps(*args, ops=PLAIN)
    more = state.loss_sum.dtype.itemsize == 4
    return state._replace(score_sum=state.score_sum + more)


def flat(*args: Any) -> State:
    """A bias of the wrong shape."""
    state = steps.run_steps(*args, ops=PLAIN)
    first, *rest = state.layers
    return state._replace(layers=[first._replace(bias=first.bias[None]), *rest])


@pytest.fixture
def crooked(reference: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """A right backend, two wrong ones, and two that cannot be used now."""
    offered = {
        "right": replace(reference, name="right"),
        "lucky": replace(reference, name="lucky", own_steps=lucky),
        "flat": replace(reference, name="flat", own_steps=flat),
    }

    def find(name: str) -> Backend:
        if name == "broken":
            raise UnusableBackendError("backend 'broken' finds no abacus")
        if name == "full":
            raise OutOfMemoryError("out of beads")
        return offered[name]

    monkeypatch.setattr(backend, "names", lambda: [*offered, "broken", "full"])
    monkeypatch.setattr(backend, "find", find)
    monkeypatch.setattr(parity, "PARITY_CASES", (Case((9, 5, 3), "relu", 16),))


def test_wrong_backends_as_json(
    crooked: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended:
        checks.parity(json=True)
    assert ended.value.exit_code == 1
    out, err = capsys.readouterr()
    assert "broken left out: backend 'broken' finds no abacus\n" in err
    assert "full left out: out of beads\n" in err
    errors = {
        (row["backend"], row["dtype"]): row["max_relative_error"]
        for row in json.loads(out)["rows"]
    }
    assert errors["flat", "float32"] is errors["flat", "float64"] is None
    assert errors["lucky", "float64"] <= 1e-12 < 1e-2 < errors["lucky", "float32"]
    assert errors["right", "float64"] <= 1e-12 < errors["right", "float32"] <= 1e-5


def test_wrong_backends_as_a_table(
    crooked: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended:
        checks.parity()
    assert ended.value.exit_code == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].strip() == "every backend against numpy float64"
    assert ["9-5-3", "relu", "float64", "flat", "inf"] in map(str.split, lines)
    assert lines[-2:] == [
        "float64: worst inf, bound 1e-12 NOT met by flat 9-5-3 relu",
        "float32: worst inf, bound 1e-05 NOT met by lucky 9-5-3 relu, flat 9-5-3 relu",
    ]


def test_right_backends(
    crooked: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "names", lambda: ["right"])
    checks.parity()
    lines = capsys.readouterr().out.splitlines()
    assert all(line.endswith("met by all") for line in lines[-2:])
