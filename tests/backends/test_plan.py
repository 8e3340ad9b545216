"""Which networks one launch trains on which cards, and how; nothing runs here."""

from typing import Any

import numpy as np
import pytest
from nnx_backends.cupy_gpu.plan import Plan, plans, shared_bytes, uncovered
from nnx_backends.cupy_gpu.tiles import LARGE, SMALL, SMALLEST

from nnx import Network, find
from nnx.maths.hyperparameters import Distortion, Hyperparameters
from nnx.maths.state import Layer, State, initial_state

# Bytes of shared memory that a block may have.
H100, A100, RTX, V100, T4 = (kb * 1024 for kb in (227, 163, 99, 96, 64))


def recipe(batch: int = 128, **options: Any) -> Hyperparameters:
    return Hyperparameters(("relu", "identity"), 1 / 255, batch, **options)


def state(*sizes: int, dtype: str = "float32") -> State:
    layers = Network(sizes, dtype=dtype).layers
    return initial_state(layers, recipe(), find("numpy").ops)


@pytest.mark.parametrize(
    ("room", "sizes", "batch", "expected"),
    [
        (H100, (784, 128, 10), 128, Plan(LARGE, False, True)),
        (H100, (784, 800, 800, 10), 1024, Plan(LARGE, False, True)),
        (H100, (784, 2000, 10), 128, Plan(LARGE, True, True)),
        (H100, (784, 128, 47), 128, Plan(LARGE, True, True)),
        (H100, (784, 10), 128, Plan(LARGE, True, True)),
        (A100, (784, 128, 10), 128, Plan(LARGE, False, True)),
        (A100, (784, 800, 800, 10), 128, Plan(LARGE, True, True)),
        (A100, (784, 800, 800, 10), 1024, Plan(LARGE, True, True)),
        (RTX, (784, 128, 10), 128, Plan(SMALL, False, True)),
        (RTX, (784, 128, 10), 1024, Plan(SMALL, False, True)),
        (RTX, (784, 800, 800, 10), 1024, Plan(SMALL, True, True)),
        (H100, (784, 128, 10), 8192, Plan(LARGE, False, True)),
        (H100, (784, 10, 10), 60000, Plan(LARGE, False, False)),
        (A100, (784, 128, 10), 4096, Plan(LARGE, False, False)),
        (RTX, (784, 10, 10), 60000, Plan(SMALL, False, False)),
        (V100, (784, 128, 10), 128, Plan(SMALL, False, True)),
        (T4, (784, 128, 10), 128, Plan(SMALLEST, False, True)),
    ],
)
def test_the_best_plan_that_fits(
    room: int, sizes: tuple[int, ...], batch: int, expected: Plan
) -> None:
    layers = state(*sizes).layers
    best, *_ = plans(layers, batch, room)
    assert best == expected
    needed = shared_bytes(best, *sizes[-2:], batch)
    assert needed <= room
    assert best in plans(layers, batch, needed)
    assert best not in plans(layers, batch, needed - 1)


@pytest.mark.parametrize(
    ("begun", "hyper", "room", "reason"),
    [
        (
            state(4, 3, 2),
            recipe(),
            0,
            "a card of before Volta, or without cooperative launches",
        ),
        (state(4, 3, 2), recipe(), 32 * 1024, "32768 bytes of shared memory"),
        (state(4, 3, 2, dtype="float64"), recipe(), H100, "float64"),
        (state(4, 3, 1025), recipe(), H100, "1025 outputs"),
        # 43,712 rows of 2016 + 1024 + 32 numbers, with padding.
        (state(2000, 1000, 2), recipe(43681), H100, "batches of 43681"),
        (
            state(4, 3, 2),
            recipe(1025, batch_norm=True),
            H100,
            "batch normalization in batches of 1025",
        ),
        (
            state(60 * 60, 2),
            recipe(augment=Distortion(shift=1.0), image_shape=(60, 60)),
            RTX,
            "distortion of 60 x 60 pixels",
        ),
        (
            state(2175, 2),
            recipe(augment=Distortion(shift=1.0), image_shape=(1, 2175)),
            RTX,
            "distortion of 1 x 2175 pixels",
        ),
        (state(4, 3, 2), recipe(shards=2), H100, "batches in shards"),
    ],
)
def test_why_steps_are_plain(
    begun: State, hyper: Hyperparameters, room: int, reason: str
) -> None:
    assert uncovered(begun, hyper, room) == reason


def test_more_parameters_than_an_int_counts() -> None:
    weight = np.broadcast_to(np.float32(0.0), (2**17, 2**14))
    begun = state(4, 3, 2)
    wide = [Layer(weight, weight[0]), Layer(weight[:2, :2], weight[0, :2])]
    reason = uncovered(begun._replace(layers=wide), recipe(8), H100)
    assert reason == "2,147,484,672 parameters"


@pytest.mark.parametrize(
    ("begun", "hyper"),
    [
        (state(2000, 1000, 2), recipe(43680)),
        (state(4, 3, 2), recipe(1024, batch_norm=True)),
        (
            state(2174, 2),
            recipe(augment=Distortion(shift=1.0), image_shape=(1, 2174)),
        ),
        (state(60 * 60, 2), recipe(image_shape=(60, 60))),
    ],
)
def test_what_is_just_covered(begun: State, hyper: Hyperparameters) -> None:
    assert uncovered(begun, hyper, RTX) == ""


@pytest.mark.parametrize("room", [H100, A100, RTX, V100, T4])
@pytest.mark.parametrize("sizes", [(784, 10), (784, 3000, 1024), (1, 1, 1), (9, 2, 40)])
def test_any_network_is_covered(room: int, sizes: tuple[int, ...]) -> None:
    """On each card since compute capability 7.0."""
    assert uncovered(state(*sizes), recipe(8192), room) == ""
