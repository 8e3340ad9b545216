"""Trees of arrays: what is mapped, what stays, and how places are named."""

from typing import Any, NamedTuple

import numpy as np
import pytest

from nnx.backend import Backend
from nnx.maths.arrays import device_of, map_arrays, named_arrays
from nnx.maths.state import Layer, NormalizedLayer, RunningStats, State


class Pair(NamedTuple):
    left: Any
    right: Any


def state() -> State:
    """Return a state with an array in every kind of place; its numbers all differ."""
    number = iter(range(100))

    def new(*shape: int) -> np.ndarray:
        return np.full(shape, float(next(number)))

    layers = [NormalizedLayer(new(2, 3), new(3), new(3)), Layer(new(3, 1), new(1))]
    memory = map_arrays(np.zeros_like, layers)
    stats = RunningStats(new(3), new(3)), None
    return State(4, layers, new(), new(), (memory,), stats, layers)


def test_a_tree_has_the_form_of_the_one_it_was_made_of() -> None:
    """Named tuples, tuples and lists stay what they are, however nested."""
    tree = [Pair(1, (2, [3])), (), [], Pair((), [Pair(4, 5)])]
    doubled = map_arrays(lambda x: 2 * x, tree)
    assert doubled == [Pair(2, (4, [6])), (), [], Pair((), [Pair(8, 10)])]
    assert type(doubled) is list
    assert [type(each) for each in doubled] == [Pair, tuple, list, Pair]
    assert type(doubled[0].right) is tuple
    assert type(doubled[3].right[0]) is Pair


def test_none_stays_none_and_is_not_asked_about() -> None:
    assert map_arrays(lambda x: 1 / 0, None) is None
    assert map_arrays(lambda x: x + 1, (None, [1, None])) == (None, [2, None])


def test_one_array_is_a_tree() -> None:
    assert map_arrays(lambda x, y: x - y, 5, 3) == 2
    assert list(named_arrays(5, "it")) == [("it", 5)]


def test_trees_of_one_form_are_mapped_together() -> None:
    one, other = Pair(1, [2, None]), Pair(10, [20, None])
    assert map_arrays(lambda a, b: a + b, one, other) == Pair(11, [22, None])
    assert map_arrays(lambda a, b, c: a + b + c, one, other, one) == Pair(
        12, [24, None]
    )


@pytest.mark.parametrize("other", [Pair(1, [2]), [1], [1, 2, 3]])
def test_trees_of_two_forms_are_an_error(other: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        map_arrays(lambda a, b: a + b, Pair(1, [2, 3]), other)


def test_a_tree_is_not_changed() -> None:
    tree = [Layer(np.ones((2, 2)), np.ones(2))]
    map_arrays(lambda array: 0 * array, tree)
    assert tree[0].weight.sum() == 4
    assert tree[0].bias.sum() == 2


def test_a_state_goes_to_the_device_and_back(backend: Backend) -> None:
    begun = state()._replace(step=None)
    moved = map_arrays(backend.from_numpy, begun)
    back = map_arrays(backend.to_numpy, moved)
    assert isinstance(moved.layers[0], NormalizedLayer)
    assert isinstance(back.running_stats[0], RunningStats)
    assert back.step is back.running_stats[1] is None
    pairs = zip(named_arrays(back, "state"), named_arrays(begun, "state"), strict=True)
    for (name, one), (same, other) in pairs:
        assert name == same
        np.testing.assert_array_equal(one, other)


def test_places_are_names() -> None:
    names = [name for name, _ in named_arrays(state()._replace(step=None), "state")]
    layers = ["0.weight", "0.bias", "0.gamma", "1.weight", "1.bias"]
    assert names == [
        *(f"state.layers.{place}" for place in layers),
        "state.loss_sum",
        "state.score_sum",
        *(f"state.optimizer_state.0.{place}" for place in layers),
        "state.running_stats.0.mean",
        "state.running_stats.0.variance",
        *(f"state.ema.{place}" for place in layers),
    ]


def test_names_come_with_their_arrays_in_the_order_of_a_map() -> None:
    begun = state()._replace(step=None)
    seen: list[np.ndarray] = []
    map_arrays(seen.append, begun)
    named = list(named_arrays(begun, ""))
    assert len({name for name, _ in named}) == len(named) == len(seen)
    assert all(one is other for one, (_, other) in zip(seen, named, strict=True))


def test_what_is_empty_has_no_names() -> None:
    for tree in (None, (), [], Pair(None, [(), None])):
        assert list(named_arrays(tree, "it")) == []


def test_the_device_of_an_array(backend: Backend) -> None:
    """It is what the namespace's own functions take; a number has none."""
    array = backend.from_numpy(np.ones(3))
    xp = backend.xp
    like = xp.zeros(2, dtype=array.dtype, device=device_of(array))
    assert device_of(like) == device_of(array)
    assert device_of(1.5) is None
