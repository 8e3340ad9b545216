"""The GPU's self-test lets rounding pass, on the host in place of a card.

What it must not let pass is in `tests/cuda_on_cpu/test_self_test.py`.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from nnx_backends.cupy_gpu.self_test import BOUNDS, SelfTest

from nnx import Network
from nnx.maths import steps
from nnx.maths.arrays import Array, map_arrays, moved
from nnx.maths.ops import Ops
from nnx.maths.state import Images, State, initial_state
from nnx.verify import rounding
from nnx.verify.cases import Case

HOST = SimpleNamespace(arange=np.arange, asnumpy=np.asarray)
PLAIN = Ops(np)
BATCH = 128
RECIPES: dict[str, dict[str, Any]] = {
    "sgd": {},
    "momentum": {"momentum": 0.9},
    "adam": {"optimizer": "adam", "learning_rate": 0.001},
    "rmsprop": {"optimizer": "rmsprop", "learning_rate": 0.001},
    "normalized adam": {
        "optimizer": "adam", "learning_rate": 0.001, "batch_norm": True,
    },
    "normalized rmsprop": {
        "optimizer": "rmsprop", "learning_rate": 0.001, "batch_norm": True,
    },
}  # fmt: skip


class Tf32(np.ndarray[Any, Any]):
    """An array whose products round both factors to TF32, 10 bits of fraction."""

    def __matmul__(self, other: Any) -> Any:
        return (_tf32(self) @ _tf32(other)).astype(self.dtype).view(Tf32)

    def __rmatmul__(self, other: Any) -> Any:
        return np.asarray(other).view(Tf32) @ self


def _tf32(numbers: Array) -> Array:
    bits = np.ascontiguousarray(np.asarray(numbers), np.float32).view(np.uint32)
    nearest = (bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000)
    return nearest.view(np.float32).astype(np.float64)


def in_float64(leaf: Any) -> Any:
    is_float = getattr(leaf, "dtype", None) == np.float32
    return leaf.astype(np.float64) if is_float else leaf


def viewed(kind: type) -> Callable[[Any], Any]:
    return lambda leaf: leaf if isinstance(leaf, int) else leaf.view(kind)


AS = {
    "full": in_float64,
    "tf32": viewed(Tf32),
    "bf16": viewed(rounding.RoundedFactors),
}


@pytest.mark.parametrize("last", [BATCH, 2])
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("precision", BOUNDS)
def test_rounding_is_no_failure(
    precision: str, recipe: dict[str, Any], last: int
) -> None:
    """With another order of sums or rounded factors, and a short last batch."""
    draw = np.random.default_rng(0)
    sizes, n = (784, 256, 128, 64, 10), 2 * BATCH + last
    pixels = draw.integers(0, 256, (n, 784), np.uint8)
    pixels[draw.random((n, 784)) < 0.8] = 0
    images = Images(pixels, draw.integers(0, 10, n), None)
    case = Case(
        sizes, "relu", BATCH, tuple((recipe | {"pixel_scale": 1 / 255}).items())
    )
    layers = Network(sizes, "relu", seed=0).layers
    state = initial_state(layers, case.hyper, PLAIN)
    errors = []

    def other(
        state: State, images: Images, order: Array, count: int, hyper: Any
    ) -> State:
        state, images = map_arrays(AS[precision], (state, images))
        after = steps.run_steps(state, images, order, count, hyper, PLAIN)
        return moved(after, np.asarray)

    test = SelfTest(HOST, precision)
    for step in (0, 2) if precision == "full" else (0,):
        now = state._replace(step=step)
        errors.append(test._error(other, now, images, n, case.hyper))
    assert max(errors) < BOUNDS[precision] / 3
    assert test.passed("kernel", other, state, images, n, case.hyper)
