"""A run that is killed at random moments ends like one that was never killed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.sweep
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system copies no processes")
def test_33_37_killed_at_random_moments() -> None:
    pytest.importorskip("tensorboardX", reason="needs the extra [tensorboard]")
    script = Path(__file__).with_name("kill.py")
    ran = subprocess.run(
        [sys.executable, script, "--count", "4"], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert "the same to the byte" in ran.stdout
