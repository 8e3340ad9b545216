"""The memory that compiled steps keep for the next call is theirs alone."""

import weakref
from typing import Any

import numpy as np
import pytest
from bits import assert_same_bits

from nnx import Network
from nnx.maths.arrays import map_arrays
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.state import Images, State, initial_state

pytest.importorskip("numba")

from nnx_backends.memories import Memories
from nnx_backends.numba_cpu.run import run_steps
from nnx_backends.numba_cpu.threads import Threads

from nnx.maths.ops import Ops

NETWORK = Network((25, 70, 9, 3), "tanh", seed=1)
HYPER = Hyperparameters(
    NETWORK.activation, 1 / 255, 20, optimizer="adam", momentum=0.9, beta2=0.999,
    batch_norm=True, ema_decay=0.9, learning_rate=0.01,
)  # fmt: skip


class Steps:
    """Steps with the same images, one backend's memories and one thread."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 256, (100, 25)).astype(np.uint8)
        self.images: Images | None = Images(pixels, rng.integers(0, 3, 100))
        self.memories = Memories()

    def begin(self) -> State:
        return initial_state(NETWORK.layers, HYPER, Ops(np))

    def take(self, state: State, count: int, **other: Any) -> State:
        hyper, order = HYPER._replace(**other), np.arange(100)
        known = {"threads": Threads(1), "memories": self.memories}
        return run_steps(state, self.images, order, count, hyper, **known)


def test_a_state_is_left_as_it_is_and_may_be_gone_on_from_again() -> None:
    steps = Steps()
    state = steps.take(steps.begin(), 2)
    before = map_arrays(np.copy, state)
    once = steps.take(state, 2)
    assert_same_bits(before, state)
    assert_same_bits(once, steps.take(state, 2))
    assert_same_bits(once, Steps().take(steps.begin(), 4))


@pytest.mark.parametrize(
    "other",
    [
        {"learning_rate": 0.5, "l2": 0.1},
        {"dropout": 0.5, "batch_size": 30},
        {"loss": "huber", "huber_delta": 0.5},
        {"seed": 9, "input_noise": 0.3},
    ],
)
@pytest.mark.parametrize("of_images", ["as before", "floats", "weighted"])
def test_memory_is_of_the_same_steps_only(other: Any, of_images: str) -> None:
    steps, new = Steps(), Steps()
    state = steps.take(steps.begin(), 2)
    copied = state._replace(layers=map_arrays(np.copy, list(state.layers)))
    pixels, labels, *_ = steps.images
    if "loss" in other:
        labels = np.eye(3, dtype=np.float32)[labels]
        copied, state = (
            s._replace(score_sum=np.zeros(3, "f4")) for s in (copied, state)
        )
    pixels = pixels.astype(np.float32) if of_images == "floats" else pixels
    weights = np.arange(100, dtype=np.float32) if of_images == "weighted" else None
    steps.images = new.images = Images(pixels, labels, weights)
    assert_same_bits(steps.take(state, 1, **other), new.take(copied, 1, **other))


@pytest.mark.parametrize("part", ["layers", "optimizer_state", "running_stats", "ema"])
def test_another_s_numbers_are_not_taken_for_those_in_memory(part: str) -> None:
    steps = Steps()
    state = steps.take(steps.begin(), 2)
    first = state.layers[0].weight  # by which memory is found

    def halved(array: Any) -> Any:
        return array if array is first else array / 2

    changed = state._replace(**{part: map_arrays(halved, getattr(state, part))})
    assert_same_bits(steps.take(changed, 1), Steps().take(changed, 1))


def test_memory_is_let_go_with_its_state() -> None:
    steps = Steps()
    state = steps.take(steps.begin(), 2)
    assert len(steps.memories._known) == 1
    later = steps.take(state, 1)
    assert len(steps.memories._known) == 1
    del state, later
    assert not steps.memories._known


def test_images_are_let_go_though_the_state_is_there() -> None:
    """They may be gigabytes; a network that was trained on them is some kilobytes."""
    steps = Steps()
    pixels, labels = map(weakref.ref, steps.images[:2])
    state = steps.take(steps.begin(), 2)
    steps.images = None
    assert len(steps.memories._known) == 1
    assert pixels() is labels() is None
    assert state.step == 2


def test_a_run_that_begins_with_weights_that_were_changed_takes_them() -> None:
    """A state's arrays may be a user's, who writes into them."""
    steps, plain = Steps(), {"optimizer": "sgd", "batch_norm": False, "ema_decay": 0.0}
    hyper = HYPER._replace(**plain)
    state = steps.take(initial_state(NETWORK.layers, hyper, Ops(np)), 2, **plain)
    state.layers[0].weight[:] = 0.5
    begun = initial_state(state.layers, hyper, Ops(np))
    copied = initial_state(map_arrays(np.copy, list(state.layers)), hyper, Ops(np))
    assert_same_bits(steps.take(begun, 1, **plain), Steps().take(copied, 1, **plain))


def test_memory_is_there_across_an_epoch_s_end() -> None:
    steps = Steps()
    state = steps.take(steps.begin(), 5)
    [(*_, work)] = steps.memories._known.values()
    state = steps.take(state._replace(loss_sum=np.zeros((), np.float32)), 2)
    [(*_, later)] = steps.memories._known.values()
    assert later.memory.parameters is work.memory.parameters
