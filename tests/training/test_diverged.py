"""Training that diverges: what is said, what is kept, and where it began."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bits import assert_same_bits

from nnx import Network, train
from nnx.backend import Backend, find
from nnx.data.dataset import Dataset
from nnx.errors import DivergedError, InputError
from nnx.maths import random
from nnx.maths.arrays import map_arrays, named_arrays
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.state import Images, State, initial_state
from nnx.model_file import CHECKPOINT_NAME, MODEL_NAME
from nnx.training import loop
from nnx.training.diagnose import fault
from nnx.training.plan import Part, Plan, Position

SETTINGS: dict[str, Any] = {
    "epochs": 3, "batch_size": 30, "learning_rate": 0.01, "optimizer": "adam",
    "batch_norm": True, "ema_decay": 0.9, "seed": 1,
}  # fmt: skip
PLACES = (
    "layers.0.weight", "layers.1.bias", "layers.0.gamma", "optimizer_state.0.1.weight",
    "optimizer_state.1.0.bias", "running_stats.0.mean", "running_stats.0.variance",
    "ema.1.weight",
)  # fmt: skip


def _spoilt(at_step: int, place: str, value: float) -> Backend:
    """Return NumPy's, which puts a number into a state, and leaves its loss finite."""
    plain = find("numpy")

    def run_steps(state: State, *args: Any) -> State:
        after = plain.run_steps(state, *args)
        if state.step < at_step <= after.step:
            after = map_arrays(np.array, after._replace(step=None))
            dict(named_arrays(after, ""))["." + place].reshape(-1)[-1] = value
            after = after._replace(step=args[2] + state.step)
        return after

    return replace(plain, own_steps=run_steps)


@pytest.mark.parametrize("place", PLACES)
def test_a_state_that_is_not_finite_ends_the_run_though_the_loss_is(
    place: str, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "UPDATE_SECONDS", 0.0)
    monkeypatch.setattr(loop, "CHECK_PAUSE", 0)
    network, per_epoch = Network([25, 7, 3]), -(-len(data.train.labels) // 30)
    backend = _spoilt(per_epoch + 1, place, np.inf)
    says = rf"training diverged: {place} is not finite in epoch 2 by step 1, at a learn"
    with pytest.raises(DivergedError, match=says):
        train(network, data, backend=backend, out=tmp_path, **SETTINGS)
    assert not (tmp_path / MODEL_NAME).exists()
    if (tmp_path / CHECKPOINT_NAME).exists():
        Network.load(tmp_path / CHECKPOINT_NAME)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("out", [True, False])
def test_the_last_step_s_state_is_looked_at(
    value: float, out: bool, data: Dataset, tmp_path: Path
) -> None:
    """However seldom the loop does, nothing is returned and nothing saved."""
    last = 3 * -(-len(data.train.labels) // 30)
    backend = _spoilt(last, "optimizer_state.0.0.weight", value)
    folder = tmp_path if out else None
    with pytest.raises(DivergedError, match=r"optimizer_state.0.0.weight is not fin"):
        train(Network([25, 7, 3]), data, backend=backend, out=folder, **SETTINGS)
    if (tmp_path / CHECKPOINT_NAME).exists():
        Network.load(tmp_path / CHECKPOINT_NAME)


def test_a_network_that_is_not_finite_is_not_trained(data: Dataset) -> None:
    network = Network([25, 7, 3])
    network.layers[1].bias[2] = np.nan
    with pytest.raises(InputError, match="layers.1.bias holds values that are not fi"):
        train(network, data)


def test_the_learning_rate_is_that_of_the_step(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "UPDATE_SECONDS", 0.0)
    monkeypatch.setattr(loop, "CHECK_PAUSE", 0)
    backend = _spoilt(2 * -(-len(data.train.labels) // 30) + 1, PLACES[0], np.nan)
    how = SETTINGS | {"schedule": "exponential:factor=0.5"}
    says = "in epoch 3 by step 1, at a learning rate of 0.0025; try a .* below 0.01, "
    with pytest.raises(DivergedError, match=says):
        train(Network([25, 7, 3]), data, backend=backend, **how)


def _plan(
    weights: list[list[list[float]]],
    pixels: Any,
    targets: Any,
    backend: Backend,
    **how: Any,
) -> tuple[Plan, Position]:
    """Return a run whose layers have these weights, and where it begins."""
    layers = Network([len(w) for w in weights] + [len(weights[-1][0])]).layers
    layers = [
        layer._replace(weight=np.array(weight, np.float32))
        for layer, weight in zip(layers, weights, strict=True)
    ]
    x, y = np.array(pixels, np.float32), np.array(targets, np.float32)
    images = Images(backend.from_numpy(x), backend.from_numpy(y))
    names = ("relu",) * (len(weights) - 1) + ("identity",)
    usual = {"loss": "squared_error", "batch_size": len(x), "learning_rate": 1e-3}
    hyper = Hyperparameters(names, 1.0, **(usual | how))
    on_device = map_arrays(backend.from_numpy, layers)
    state = initial_state(on_device, hyper, backend.ops)
    return Plan(backend, images, Part(images, 1.0), hyper), Position(state)


CASES: dict[str, tuple[Any, ...]] = {
    "the pixels": ([[[1.0]]], [[0.0]] * 1024 + [[np.inf]], [[0.0]] * 1025, {}),
    "the product of layer 2": ([[[1e20]], [[1e20]]], [[1.0]], [[0.0]], {}),
    "the loss, squared_error": ([[[1e25]]], [[1.0]], [[0.0]], {}),
    "the loss, poisson": ([[[100.0]]], [[1.0]], [[0.0]], {"loss": "poisson"}),
    "the sum of the batch's losses": ([[[1.7e19]]], [[1.0]] * 3, [[0.0]] * 3, {}),
    "the gradient of layer 1": ([[[1e-8]], [[1e26]]], [[1.0]], [[0.0]], {}),
    "the state of adam for layer 1": (
        [[[1e9]]], [[1e6]], [[0.0]], {"optimizer": "adam", "beta2": 0.9}
    ),
    "the update of layer 1 by sgd": (
        [[[1.0]]], [[1e10]], [[0.0]], {"learning_rate": 1e20}
    ),
    "the penalized gradient of layer 1": ([[[1e10]]], [[0.0]], [[0.0]], {"l2": 1e32}),
}  # fmt: skip


@pytest.mark.parametrize("words", CASES)
def test_the_operation_is_named(words: str, backend: Backend) -> None:
    weights, pixels, targets, how = CASES[words]
    with backend.scope():
        plan, position = _plan(weights, pixels, targets, backend, **how)
        assert fault(plan, position) == f"first in epoch 1, step 1: {words}"


def test_the_step_is_the_one_whose_images_did_it(backend: Backend) -> None:
    n, pixels = 20, np.full((20, 1), 0.5, np.float32)
    pixels[13] = 1e30
    order = random.permutation(n, seed=0, epoch=0, xp=np, device="cpu")
    step = int(np.flatnonzero(order == 13)[0]) // 4 + 1
    with backend.scope():
        plan, position = _plan([[[1.0]]], pixels, pixels * 0, backend, batch_size=4)
        words = fault(plan, position)
        assert words == f"first in epoch 1, step {step}: the loss, squared_error"
        assert step > 1


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
def test_training_says_so_in_its_line(data: Dataset) -> None:
    wild = Network([25, 7, 3], "identity", init="normal:1e15")
    says = r"in epoch 1 by step \d+, at .*; first in epoch 1, step \d: the "
    with pytest.raises(DivergedError, match=says) as caught:
        train(wild, data, epochs=1, learning_rate=1000.0, debug_nan=True)
    assert "\n" not in str(caught.value)


def test_a_run_that_is_well_is_the_same_with_it(data: Dataset) -> None:
    plain, watched = (
        train(Network([25, 7, 3]), data, debug_nan=on, **SETTINGS)
        for on in (False, True)
    )
    assert_same_bits(plain.network.layers, watched.network.layers)
