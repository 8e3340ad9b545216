"""Logits of any size, saturated units and denormal numbers: finite, and not slow."""

import platform
import time
from typing import Any

import numpy as np
import pytest

from nnx import Network
from nnx.backend import Backend
from nnx.denormals import flushed
from nnx.maths.arrays import Array, map_arrays
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.state import Images, State, initial_state

SIZES, N, BATCH = (784, 128, 64, 10), 300, 100
DENORMAL = 1e-40
FLUSHES = (platform.system(), platform.machine()) == ("Linux", "x86_64")


def _run(backend: Backend, activation: str, **how: Any) -> tuple[State, Any]:
    """Return a state, and what takes an epoch's steps from one."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (N, SIZES[0])).astype(np.uint8)
    images = Images(
        backend.from_numpy(pixels), backend.from_numpy(rng.integers(0, 10, N))
    )
    names = (activation,) * (len(SIZES) - 2) + ("identity",)
    hyper = Hyperparameters(names, 1 / 255, BATCH, learning_rate=1e-3, **how)
    layers = map_arrays(backend.from_numpy, Network(SIZES, activation).layers)
    order = backend.from_numpy(np.arange(N))

    def steps(state: State) -> State:
        with flushed():
            return backend.run_steps(state, images, order, N // BATCH, hyper)

    return initial_state(layers, hyper, backend.ops), steps


def _to(backend: Backend, change: Any, tree: Any) -> Any:
    """Return a tree of arrays, each changed on the host."""

    def changed(array: Array) -> Array:
        old = backend.to_numpy(array)
        return backend.from_numpy(np.asarray(change(old), old.dtype))

    return map_arrays(changed, tree)


def _biased(backend: Backend, state: State, bias: Any, hidden: bool) -> State:
    """Return a state whose hidden units, or whose logits, are at a place."""
    layers = [
        layer._replace(bias=_to(backend, lambda a: a * 0 + bias, layer.bias))
        if hidden == (i < len(state.layers) - 1)
        else layer
        for i, layer in enumerate(state.layers)
    ]
    return state._replace(layers=layers)


def _denormal(backend: Backend, tree: Any) -> Any:
    rng = np.random.default_rng(1)
    return _to(backend, lambda a: rng.random(a.shape) * DENORMAL, tree)


@pytest.mark.parametrize("size", [100.0, 1e4, 1e30])
@pytest.mark.parametrize("how", [{}, {"label_smoothing": 0.1}], ids=["hard", "smooth"])
def test_logits_of_any_size_have_a_finite_loss(
    size: float, how: dict[str, Any], backend: Backend
) -> None:
    with backend.scope():
        state, steps = _run(backend, "relu", **how)
        spread = np.linspace(-size, size, SIZES[-1])
        after = steps(_biased(backend, state, spread, hidden=False))
        loss = float(backend.to_numpy(after.loss_sum)) / N
        assert size / 10 < loss < 3 * size
        for layer in after.layers:
            assert np.isfinite(backend.to_numpy(layer.weight)).all()


STATES = (
    "weights",
    "memory",
    "units at -95",
    "units at 1e4",
    "units at -1e4",
    "logits",
)


def _extreme(backend: Backend, state: State, which: str) -> State:
    if which == "weights":
        weights = (_denormal(backend, layer.weight) for layer in state.layers)
        pairs = zip(state.layers, weights, strict=True)
        return state._replace(layers=[a._replace(weight=w) for a, w in pairs])
    if which == "memory":
        return state._replace(optimizer_state=_denormal(backend, state.optimizer_state))
    if which == "logits":
        return _biased(backend, state, np.linspace(-1e4, 1e4, SIZES[-1]), hidden=False)
    return _biased(backend, state, float(which.split()[-1]), hidden=True)


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("activation", "optimizer"), [("sigmoid", "rmsprop"), ("silu", "adam")]
)
def test_no_step_is_slow(activation: str, optimizer: str, backend: Backend) -> None:
    """Processor time, as other programs run; each pair of timings is next to it."""
    if backend.name not in ("numpy", "numba", "torch"):
        pytest.skip("speed is promised of NumPy, Numba and PyTorch")
    how = {"optimizer": optimizer, "momentum": 0.9, "beta2": 0.999}
    with backend.scope():
        usual, steps = _run(backend, activation, **how)
        for which in STATES:
            extreme, ratios = _extreme(backend, usual, which), []
            for _ in range(3):
                took = []
                for state in extreme, usual, extreme, usual:
                    began = time.process_time()
                    loss = backend.to_numpy(steps(state).loss_sum)
                    took.append(time.process_time() - began)
                    assert np.isfinite(loss)
                ratios.append(min(took[0], took[2]) / min(took[1], took[3]))
            assert min(ratios) < 2.0, f"{which}: {ratios}"


@pytest.mark.skipif(
    not FLUSHES, reason="processors are told to on x86-64 with Linux alone"
)
def test_what_decays_ends_at_0(backend: Backend) -> None:
    """A state that steps leave has no denormal numbers, whoever computes them."""
    if backend.name not in ("numpy", "numba", "torch"):
        pytest.skip("JAX does it by itself")
    how = {"optimizer": "momentum", "momentum": 0.9}
    with backend.scope():
        state, steps = _run(backend, "relu", **how)
        dead = _biased(backend, _extreme(backend, state, "memory"), -1e4, hidden=True)
        after = steps(dead)
        velocity = backend.to_numpy(after.optimizer_state[0][0].weight)
        assert not velocity.any()


def test_the_switch_is_put_back() -> None:
    small, one = np.full(3, DENORMAL, np.float32), np.float32(1)
    with flushed():
        inside = (small * one).any()
    assert (small * one).all()
    if FLUSHES:
        assert not inside
