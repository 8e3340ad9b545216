"""JAX's devices, and how rarely it compiles."""

from typing import Any

import numpy as np
import pytest

from nnx import Network, find, train
from nnx.backend import Backend
from nnx.data.dataset import Dataset
from nnx.errors import UnusableBackendError
from nnx.maths.arrays import map_arrays
from nnx.maths.hyperparameters import Hyperparameters, Schedule
from nnx.maths.state import Images, initial_state

jax = pytest.importorskip(
    "jax", reason="JAX is not installed: pip install nnx-mlp[jax]"
)


@pytest.fixture
def jax_cpu() -> Backend:
    return find("jax")


@pytest.mark.parametrize("device", ["abacus", "cpu:99", "cpu:x"])
def test_a_device_that_cannot_be_used(device: str) -> None:
    with pytest.raises(UnusableBackendError, match="use cpu") as refused:
        find("jax", device=device)
    assert repr(device) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_one_record_for_a_device() -> None:
    """Another would have everything compiled anew."""
    assert find("jax", device="cpu") is find("jax", device="cpu")


def test_arrays_are_copied(jax_cpu: Backend) -> None:
    array = np.zeros(1024)
    moved = jax_cpu.from_numpy(array)
    array[:] = 1
    back = jax_cpu.to_numpy(moved)
    assert not back.any()
    back[:] = 1  # as a user may write into a network's weights
    assert not jax_cpu.to_numpy(moved).any()


# 110 images in batches of 20: five whole ones, and one of ten.
IMAGES, BATCH, PER_EPOCH = 110, 20, 6


def compilations(jax_cpu: Backend, calls: list[tuple[int, int]], **options: Any) -> int:
    """Return how often JAX compiled in these calls, each (first step, count).

    options: of the hyperparameters; the learning rate is another one in each call
    """
    from nnx_backends import jax_steps

    rng = np.random.default_rng(0)
    images = Images(
        jax_cpu.from_numpy(rng.integers(0, 256, (IMAGES, 6), np.uint8)),
        jax_cpu.from_numpy(rng.integers(0, 3, IMAGES)),
    )
    network, order = Network([6, 4, 3]), jax_cpu.from_numpy(np.arange(IMAGES))
    hyper = Hyperparameters(network.activation, 1 / 255, BATCH, epochs=9, **options)
    layers = map_arrays(jax_cpu.from_numpy, network.layers)
    begun = initial_state(layers, hyper, jax_cpu.ops)
    before = jax_steps._loop._cache_size()
    for i, (first, count) in enumerate(calls):
        now = hyper._replace(learning_rate=0.1 / (i + 1))
        after = jax_cpu.run_steps(begun._replace(step=first), images, order, count, now)
        assert (after.step, type(after.step)) == (first + count, int)
    return int(jax_steps._loop._cache_size() - before)


COUNTS = [(0, 1), (1, 3), (4, 2), (0, 6), (5, 1), (12, 6), (600, 5)]
# What gives each step other numbers, and what has more arrays in its state.
OPTIONS: dict[str, dict[str, Any]] = {
    "sgd": {},
    "momentum": {"optimizer": "momentum", "momentum": 0.9},
    "schedules": {
        "optimizer": "nesterov",
        "momentum": 0.5,
        "schedule": Schedule("cosine", warmup=1.0),
        "momentum_schedule": Schedule("linear", to=0.9),
    },
    "adam": {"optimizer": "adam", "momentum": 0.9, "beta2": 0.999, "ema_decay": 0.99},
    "batch norm": {"batch_norm": True, "dropout": 0.5},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_counts_and_schedules_compile_nothing_anew(jax_cpu: Backend, name: str) -> None:
    """The first call asks for no steps, and has both sizes of a batch compiled."""
    from nnx_backends import jax_steps

    jax_steps._loop.clear_cache()
    assert compilations(jax_cpu, [(0, 0)], **OPTIONS[name]) == 2
    assert compilations(jax_cpu, COUNTS, **OPTIONS[name]) == 0


def test_what_is_not_traced_is_compiled_in(jax_cpu: Backend) -> None:
    """So that the count of compilations above is one of something."""
    from nnx_backends import jax_steps

    jax_steps._loop.clear_cache()
    for l2 in (0.0, 0.1, 0.2):
        assert compilations(jax_cpu, [(0, 6)], l2=l2) == 2


def test_training_compiles_before_it_is_timed(jax_cpu: Backend, data: Dataset) -> None:
    from nnx_backends import jax_steps

    jax_steps._loop.clear_cache()
    sizes = []
    train(
        Network([25, 9, 3]),
        data,
        backend=jax_cpu,
        epochs=3,
        batch_size=32,
        on_progress=lambda progress: sizes.append(jax_steps._loop._cache_size()),
    )
    assert set(sizes) == {2}
