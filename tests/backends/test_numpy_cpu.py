"""What the NumPy backend does better than the plain maths, with the same results."""

import platform

import numpy as np
import pytest
from own_process import printed

from nnx.backend import Backend
from nnx.maths import optimizers

FULL_BATCHES = """
import resource
import sys
import numpy as np
from nnx import Network, find
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.state import Images, initial_state

backend, n = find(sys.argv[1]), 4096
images = Images(np.zeros((n, 784), np.uint8), np.zeros(n, np.int64))
network = Network([784, 10])
hyper = Hyperparameters(network.activation, 1 / 255, n, learning_rate=0.1)
state = initial_state(network.layers, hyper, backend.ops)

def faults(steps):
    global state
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(steps):
        state = backend.run_steps(state, images, np.arange(n), 1, hyper)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults(3)
print(faults(10))
"""


def test_the_update_is_the_plain_one_to_the_bit(reference: Backend) -> None:
    rng = np.random.default_rng(0)
    for dtype in ("float32", "float64"):
        parameter, gradient = rng.normal(size=(2, 50, 7)).astype(dtype)
        expected = optimizers.update(parameter, gradient, 0.1)
        before = parameter.copy()
        got = reference.ops.update(parameter, gradient.copy(), 0.1)
        np.testing.assert_array_equal(got, expected)
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(parameter, before)


@pytest.mark.parametrize("name", ["numpy", "numba"])
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a trait of glibc")
def test_memory_is_not_given_back_and_taken_anew_in_every_step(name: str) -> None:
    """Ten steps of four blocks of 3.2 MB: 31,000 page faults if it were."""
    assert int(printed(FULL_BATCHES, name)) < 3000
