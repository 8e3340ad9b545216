"""JAX's devices, how seldom it compiles, and that states outlive steps."""

import numpy as np
import pytest

from nnx import Network, find, train
from nnx.backend import Backend
from nnx.data.dataset import Dataset
from nnx.errors import UnusableBackendError
from nnx.maths.optimizers import Rates
from nnx.maths.steps import Epoch, Images, Recipe, State
from nnx.network import to_device

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


def compilations(jax_cpu: Backend, steps: list[tuple[int, int]], **kinds: float) -> int:
    """Return how often 110 images in batches of 20 were compiled for in these calls.

    kinds: which of the rates are others in each call
    """
    from nnx_backends import jax_steps

    rng = np.random.default_rng(0)
    images = Images(
        jax_cpu.from_numpy(rng.integers(0, 256, (110, 6), np.uint8)),
        jax_cpu.from_numpy(rng.integers(0, 3, 110)),
    )
    network, epoch = Network([6, 4, 3]), Epoch(jax_cpu.from_numpy(np.arange(110)), [])
    recipe = Recipe(network.model.activations, 1 / 255, 20)
    sums = np.float32(0), np.int64(0)
    state = State(to_device(network.layers, jax_cpu), *map(jax_cpu.from_numpy, sums))
    before = jax_steps._steps._cache_size()
    for i, span in enumerate(steps):
        changed = {name: value + i for name, value in kinds.items()}
        epoch = epoch._replace(rates=[Rates(0.1, **changed)] * 6, begin=6 * i)
        state = jax_cpu.run_steps(state, images, epoch, *span, recipe, jax_cpu)
    return int(jax_steps._steps._cache_size() - before)


def test_spans_and_rates_compile_nothing_anew(jax_cpu: Backend) -> None:
    """The first call asks for no steps, and has both sizes of a batch compiled."""
    from nnx_backends import jax_steps

    jax_steps._steps.clear_cache()
    assert compilations(jax_cpu, [(0, 0)]) == 2
    assert compilations(jax_cpu, [(0, 1), (1, 4), (4, 6), (0, 6), (5, 6)]) == 0
    assert compilations(jax_cpu, [(0, 3)] * 3, momentum=0.1, averaging=0.5) == 0


def test_training_compiles_before_it_is_timed(
    jax_cpu: Backend, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nnx_backends import jax_steps

    jax_steps._steps.clear_cache()
    sizes = []
    train(
        Network([25, 9, 3]),
        data,
        backend=jax_cpu,
        epochs=3,
        batch_size=32,
        on_progress=lambda progress: sizes.append(jax_steps._steps._cache_size()),
    )
    assert set(sizes) == {2}
