"""Images near a kink are detected, and an order without them is found."""

import numpy as np
import pytest

from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.state import Images, Layer, State, initial_state
from nnx.verify.compare import PLAIN
from nnx.verify.kinks import is_smooth, steps_without_kinks


def begun(layers: list[Layer], hyper: Hyperparameters) -> State:
    return initial_state(layers, hyper, PLAIN)


def test_an_image_at_a_kink_is_not_smooth() -> None:
    """The hidden units are x and the logits ±x + (0, 1), so that 1/2 is a tie."""
    layers = [
        Layer(np.ones((1, 1)), np.zeros(1)),
        Layer(np.array([[1.0, -1.0]]), np.array([0.0, 1.0])),
    ]
    x = np.array([[0.0], [1.0], [-1.0], [1e-7], [-1e-7], [0.5], [0.5 + 1e-7]])
    images, index = Images(x, np.zeros(7, np.int64)), np.arange(7)
    hyper = Hyperparameters(("identity", "identity"), 1.0, 7)
    smooth = is_smooth(begun(layers, hyper), images, index, hyper)
    assert smooth.tolist() == [False, True, True, False, False, False, False]
    wide = is_smooth(begun(layers, hyper), images, index, hyper, clearance=2.0)
    assert not wide.any()


def test_a_normalized_unit_is_seen_as_its_activation_gets_it() -> None:
    """Of 1 … 5 normalized, the third is the mean and so 0; with a bias of 1, none."""
    layers = [
        Layer(np.ones((1, 1)), np.zeros(1)),
        Layer(np.array([[1.0, -1.0]]), np.array([3.0, -3.0])),
    ]
    images = Images(np.arange(1.0, 6.0)[:, None], np.zeros(5, np.int64))
    hyper = Hyperparameters(("relu", "identity"), 1.0, 5, batch_norm=True)
    state, index = begun(layers, hyper), np.arange(5)
    smooth = is_smooth(state, images, index, hyper)
    assert smooth.tolist() == [True, True, False, True, True]
    shifted = state.layers[0]._replace(bias=np.ones(1))
    state = state._replace(layers=[shifted, state.layers[1]])
    assert is_smooth(state, images, index, hyper).all()


def test_a_unit_that_dropout_brings_to_0_is_seen() -> None:
    """A unit without a bias is 0 for the images that lose their only pixel."""
    layers = [
        Layer(np.ones((1, 1)), np.zeros(1)),
        Layer(np.array([[1.0, -1.0]]), np.array([3.0, -3.0])),
    ]
    images = Images(np.ones((100, 1)), np.zeros(100, np.int64))
    hyper = Hyperparameters(("relu", "identity"), 1.0, 100, input_dropout=0.3)
    smooth = is_smooth(begun(layers, hyper), images, np.arange(100), hyper)
    assert 50 < smooth.sum() < 90


def test_an_image_at_a_kink_gives_its_place_to_another() -> None:
    layers = [Layer(np.array([[1.0, -1.0]]), np.zeros(2))]
    images = Images(np.array([[3.0], [0.0], [1.0]]), np.array([0, 0, 1]))
    hyper = Hyperparameters(("identity",), 1.0, 2, learning_rate=0.0)
    state = begun(layers, hyper)
    order, after = steps_without_kinks(state, images, np.array([1, 2, 0]), 2, hyper)
    assert order.tolist() == [2, 2, 0]
    assert (after.step, after.score_sum) == (2, 1)
    assert after.layers[0].weight.tolist() == [[1.0, -1.0]]
    with pytest.raises(ValueError, match="step 1"):
        steps_without_kinks(state, images, np.array([0, 2, 1]), 2, hyper)
