"""`benchmarks/phases.py`, which tells a step's phases apart. On the emulated device."""

import json
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from nnx_benchmarks.workloads import Workload

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("emulated")]
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "phases.py"
SMALL = Workload((784, 8, 10), "relu", 64)


@pytest.fixture
def script() -> ModuleType:
    spec = spec_from_file_location("phases", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_work_and_waits_are_of_the_same_phases(script: ModuleType) -> None:
    """A phase's work is before its barrier, a step's first one's after the last."""
    now, times = 0, []
    for _ in range(5):  # steps
        for work, wait in (100, 1), (200, 2), (300, 3):
            times.append((now + work, now + work + wait))
            now += work + wait
    got = script.phases(SMALL, np.array(times), 5)
    assert got == {"work": [100, 200, 300], "wait": [1, 2, 3]}


def test_what_was_measured_before_the_end_is_kept(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(workload: Workload, images: int) -> dict[str, Any]:
        if workload is not SMALL:
            raise KeyboardInterrupt
        return {"ms_per_epoch": [1.0], "work": [], "wait": []}

    out = tmp_path / "phases.json"
    monkeypatch.setattr(script, "measured", measured)
    monkeypatch.setattr(script, "NETWORKS", {"one": SMALL, "two": SMALL._replace()})
    monkeypatch.setattr(script.cupy, "RawKernel", script.cupy.RawKernel)
    monkeypatch.setattr(script.steps, "MOST_OPERATIONS", 0)
    monkeypatch.setattr(sys, "argv", ["phases.py", "--out", str(out)])
    with pytest.raises(KeyboardInterrupt):
        script.main()
    assert list(json.loads(out.read_text())) == ["one"]


def test_an_epoch_of_one_step_has_no_phases(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(sys, "argv", ["phases.py", "--images", "8192"])
    with pytest.raises(SystemExit):
        script.main()
    assert (
        "--images must be over 8192, for two steps per epoch" in capsys.readouterr().err
    )
