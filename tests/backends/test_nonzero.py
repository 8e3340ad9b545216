"""The compiled steps skip inputs that are 0, and nothing else."""

from typing import Any

import numpy as np
import pytest
from bits import assert_same_bits

from nnx import Network, find
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.state import Images, State, initial_state

pytest.importorskip("numba")

N, INPUTS = 58, 45
RANDOM = np.random.default_rng(3)
SOME = RANDOM.normal(size=(N, INPUTS))


def _only(rows: Any, columns: Any) -> Any:
    """Return pixels that are 0 everywhere but there."""
    pixels = np.zeros((N, INPUTS))
    pixels[rows, columns] = SOME[rows, columns]
    return pixels


ALL = slice(None)
PIXELS = {
    "none": np.zeros((N, INPUTS)),
    "all": SOME,
    "a fifth": SOME * (RANDOM.random((N, INPUTS)) < 0.2),
    "one image": _only(17, ALL),
    "the last image": _only(-1, ALL),
    "one input": _only(ALL, 8),
    "the last input": _only(ALL, -1),
    "one pixel": _only(30, 44),
    "-0.0": np.where(SOME < 0, -0.0, SOME),
    "the least there is": np.where(SOME < 0, 5e-324, SOME),
}
HOW: dict[str, dict[str, Any]] = {
    "sgd": {},
    # With a smaller epsilon it makes steps of what is rounding alone.
    "adam": {"optimizer": "adam", "epsilon": 1e-3},
    "clipped": {"clip_norm": 0.1},
    "bounded": {"max_norm": 0.5},
    "normalized": {"batch_norm": True},
}


def _after(
    name: str, pixels: Any, how: dict[str, Any], *, units: int = 70, **options: Any
) -> State:
    """Return the state after an epoch of three steps, the last of them short."""
    layers = Network((INPUTS, units, 3), "tanh", seed=1, dtype="float64").layers
    backend, labels = find(name, **options), np.arange(N) % 3
    hyper = Hyperparameters(("tanh", "identity"), 1.0, 23, learning_rate=0.1, **how)
    state = initial_state(layers, hyper, backend.ops)
    return backend.run_steps(state, Images(pixels, labels), np.arange(N), 3, hyper)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("kind", PIXELS)
def test_zeros_are_passed_over_without_a_difference(kind: str, how: str) -> None:
    got, expected = (_after(b, PIXELS[kind], HOW[how]) for b in ("numba", "numpy"))
    assert float(got.loss_sum) == pytest.approx(float(expected.loss_sum), rel=1e-12)
    for a, b in zip(got.layers, expected.layers, strict=True):
        np.testing.assert_allclose(a.weight, b.weight, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(a.bias, b.bias, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("units", [33, 70, 100])
def test_images_shared_out_to_any_team_give_the_same_bits(units: int, how: str) -> None:
    pixels, one = PIXELS["a fifth"], {"units": units, "threads": 1}
    expected = _after("numba", pixels, HOW[how], **one)
    for threads in 2, 3, 7:
        got = _after("numba", pixels, HOW[how], **one | {"threads": threads})
        assert_same_bits(got, expected)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_a_pixel_that_is_no_number_is_not_passed_over(number: float) -> None:
    pixels = PIXELS["a fifth"].copy()
    pixels[40, 9] = number
    with np.errstate(invalid="ignore"):
        state = _after("numba", pixels, {})
    assert np.isnan(state.loss_sum) or np.isnan(state.layers[0].weight).any()
