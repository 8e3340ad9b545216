"""The proof of the example, which is a model for the proofs of nnx's own kernels."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cuda_on_cpu.proof import deletions, in_every_order

pytestmark = pytest.mark.gpu
SOURCE = (Path(__file__).parent / "example.cu").read_text()
DEPTH = 70  # the last of five slices of 16 is ragged
BLOCKS = -(-DEPTH // 16)


@pytest.fixture
def operands(rng: np.random.Generator) -> Sequence[np.ndarray]:
    """Return matrices with numbers that TF32 has."""
    a = rng.integers(0, 256, (16, DEPTH)).astype(np.float32)
    b = rng.normal(size=(DEPTH, 8)).astype(np.float32)
    return a, (b.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)


@pytest.fixture
def run(request: pytest.FixtureRequest, operands: Sequence[np.ndarray]) -> Any:
    if not request.config.getoption("emulated"):
        pytest.skip("of an emulated device: --emulated")
    import cupy

    def run(source: str) -> Sequence[np.ndarray]:
        module = cupy.RawModule(
            code=source, options=(f"-DDEPTH={DEPTH}",), enable_cooperative_groups=True
        )
        partial = cupy.empty((BLOCKS, 128), np.float32)
        out, largest = cupy.empty((16, 8), np.float32), cupy.empty(2, np.float32)
        barrier = cupy.zeros(2, np.uint32)
        moved = map(cupy.asarray, operands)
        args = (*moved, partial, out, largest, barrier)
        module.get_function("product")((BLOCKS,), (64,), args, shared_mem=1024)
        return cupy.asnumpy(out), cupy.asnumpy(largest)

    return run


def test_right_and_the_same_in_every_order(run: Any, operands: Any) -> None:
    out, largest = in_every_order(run, SOURCE)
    a, b = (array.astype(np.float64) for array in operands)
    np.testing.assert_allclose(out, a @ b, rtol=1e-6, atol=1e-4)
    assert largest.max() == out.max()


def test_every_barrier_is_needed(run: Any) -> None:
    found = deletions([run], SOURCE)
    assert len(found) == 4
    assert [each for each in found if not each.caught] == []


def test_a_barrier_that_is_not_needed_is_told(run: Any) -> None:
    twice = SOURCE.replace(
        "  grid_barrier(barrier);\n", "  grid_barrier(barrier);\n" * 2
    )
    assert twice != SOURCE
    found = deletions([run], twice, re.compile(r"grid_barrier\(barrier\);"))
    assert [each.caught for each in found] == ["", ""]


def test_the_order_matters_where_nothing_is_waited_for(run: Any) -> None:
    without = SOURCE.replace("grid_barrier(barrier);", "")
    with pytest.raises(AssertionError, match="other bits in order"):
        in_every_order(run, without)
