"""`nnx train` when training diverges, and `--debug-nan`."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

WILD = (
    "train", "--dataset", "squares", "--batch-size", "full", "--activation", "identity",
    "--dtype", "float32", "--learning-rate", 10, "--epochs", 500, "--quiet",
)  # fmt: skip


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_28_debug_nan_names_the_layer_and_the_operation(
    backend: str, run: Run, old_run: Path, cwd: Path
) -> None:
    growing = *WILD, "--l2", 0.9, "--backend", backend
    plain = run(*growing, "--out", "plain")
    ran = run(*growing, "--debug-nan", "--out", "wild")
    assert (plain.returncode, ran.returncode) == (3, 3)
    assert ran.stderr.startswith(plain.stderr.rstrip("\n"))
    says = re.fullmatch(
        r"nnx: training diverged: .* in epoch (\d+) by step 1, at a learning rate of "
        r"10; try .*; first in epoch (\d+), step 1: the [^;]+\n",
        ran.stderr,
    )
    assert says, ran.stderr
    assert says[1] == says[2]
    assert not (cwd / "wild" / "model.safetensors").exists()


def test_a_checkpoint_that_diverges_is_resumed_to_the_same_place(
    run: Run, old_run: Path
) -> None:
    growing = *WILD, "--l2", 0.9, "--backend", "numpy", "--out", "wild"
    first = run(*growing)
    again = run(*growing, "--resume", "--debug-nan")
    assert again.returncode == 3
    assert again.stderr.startswith(first.stderr.rstrip("\n") + "; first in epoch ")
