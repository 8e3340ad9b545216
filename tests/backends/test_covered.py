"""Backends with steps of their own know all of the maths, by their sources.

Whether they compute the same is what parity shows, for every option in a sweep alone.
"""

import re
from importlib.resources import files

import pytest

from nnx.maths.activations import ACTIVATIONS
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.losses import LOSSES
from nnx.maths.optimizers import OPTIMIZERS

# What `schedules.at_steps` turns into the numbers of a step.
OF_RUNS = {"epochs", "schedule", "momentum_schedule", "early_epsilon"}


@pytest.mark.parametrize("package", ["numba_cpu", "cupy_gpu"])
def test_every_hyperparameter_is_read(package: str) -> None:
    """One that is not would be ignored, and the network trained without it."""
    sources = [
        file.read_text("utf-8")
        for file in files(f"nnx_backends.{package}").iterdir()
        if file.name.endswith((".py", ".cu"))
    ]
    read = set(re.findall(r"\bhyper(?:\.|->)(\w+)", "".join(sources)))
    ignored = {*Hyperparameters._fields} - OF_RUNS - read
    assert not ignored, f"{package} reads no {ignored}: add it, or take plain steps"


def test_every_function_has_a_kernel() -> None:
    pytest.importorskip("numba")
    from nnx_backends.numba_cpu import activations, loss, optimizers

    for names, kernels in (
        (ACTIVATIONS, activations.FUNCTIONS),
        (OPTIMIZERS, optimizers.LOOPS),
        (LOSSES, loss.KERNELS),
    ):
        missing = {*names} - {*kernels}
        assert not missing, f"numba_cpu has no kernel for {missing}"
