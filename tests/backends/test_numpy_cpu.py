"""What the NumPy backend does better than the plain maths, and that it is the same."""

import platform
import subprocess
import sys

import numpy as np
import pytest

from nnx.backend import Backend
from nnx.maths import optimizers

FULL_BATCHES = """
import resource
import numpy as np
from nnx import Network, find
from nnx.maths.optimizers import Rates
from nnx.maths.steps import Epoch, Images, Recipe, State

backend, n = find("NAME"), 4096
images = Images(np.zeros((n, 784), np.uint8), np.zeros(n, np.int64))
network = Network([784, 10])
recipe = Recipe(network.model.activations, 1 / 255, n)
state = State(network.layers, np.float32(0), np.int64(0))

def faults(steps):
    global state
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(steps):
        state = backend.run_steps(
            state, images, Epoch(np.arange(n), [Rates(0.1)]), 0, 1, recipe, backend
        )
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults(3)
print(faults(10))
"""


def test_the_update_is_the_plain_one_to_the_bit(reference: Backend) -> None:
    rng = np.random.default_rng(0)
    for dtype in ("float32", "float64"):
        parameter, gradient = rng.normal(size=(2, 50, 7)).astype(dtype)
        expected = optimizers.update(parameter, gradient, 0.1)
        kept = parameter.copy()
        got = reference.update(parameter, gradient.copy(), 0.1)
        np.testing.assert_array_equal(got, expected)
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(parameter, kept)


@pytest.mark.parametrize("name", ["numpy", "numba"])
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a trait of glibc")
def test_memory_is_not_given_back_and_taken_anew_in_every_step(name: str) -> None:
    """Ten steps of four blocks of 3.2 MB: 31,000 page faults if it were."""
    code = FULL_BATCHES.replace("NAME", name)
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert int(ran.stdout) < 3000
